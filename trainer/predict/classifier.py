"""A trained network from its file, on its device, ready to be applied → Classifier."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from builder.contract.weights import load_network


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A trained network on its device, and what its weights say of themselves."""

    model: nn.Module
    device: torch.device
    pathologies: tuple[str, ...]
    height: int  # pixels of the images that it was trained on
    width: int


def load_classifier(weights: Path, device: torch.device) -> Classifier:
    """The network of a `best.safetensors`; UsageError or CheckError where the file is not one."""
    network, header = load_network(weights)
    return Classifier(
        model=network.to(memory_format=torch.channels_last).to(device),
        device=device,
        pathologies=header.pathologies,
        height=header.image.height,
        width=header.image.width,
    )
