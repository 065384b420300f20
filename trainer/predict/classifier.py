"""A trained network from its file, ready to be applied → Classifier."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from builder.contract import CheckError, Refusal, UsageError, check_pathologies
from trainer.model import SMALLEST, build, load_into, load_weights

LARGEST = 4096  # pixels on a side, as in a manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A trained network on its device, and what its weights say of themselves."""

    model: nn.Module
    device: torch.device
    pathologies: tuple[str, ...]
    height: int  # pixels of the images that it was trained on
    width: int


def load_classifier(weights: Path, device: torch.device) -> Classifier:
    """The network of a `best.safetensors`, ready to predict; CheckError where it is not one."""
    if not weights.is_file():
        raise UsageError(f"{weights} is missing: name the best.safetensors of a run.")
    state, facts = load_weights(weights)
    match facts:
        case {"pathologies": [*names], "image": {"height": int(height), "width": int(width)}}:
            told = {*map(type, names)} == {str} and min(height, width) >= SMALLEST
        case _:
            told = False
    if not told or max(height, width) > LARGEST:
        raise CheckError(f"{weights} does not say for which pathologies and image size it is.")
    try:
        check_pathologies(names)
    except Refusal as error:
        raise CheckError(f"{weights}: {error}") from None
    if getattr(state.get("classifier.bias"), "shape", None) != (len(names),):  # or it may be huge
        raise CheckError(f"{weights} has not one output for each of its {len(names)} pathologies.")
    model = build(names, init="random", seed=0)
    load_into(model, weights)
    return Classifier(
        model=model.to(device).eval(),
        device=device,
        pathologies=tuple(names),
        height=height,
        width=width,
    )
