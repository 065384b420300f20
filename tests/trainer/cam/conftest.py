"""A network that knows the pathologies of the tiny dataset, and its weights on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from builder.contract.weights import scale
from trainer.model import build

NAMES = ("Hernia", "Lung Lesion", "Fracture")  # as in the datasets of the conftest above

Settled = Callable[..., nn.Module]
Blots = Callable[..., torch.Tensor]


@pytest.fixture(scope="session")
def blots() -> Blots:
    """Images of soft blots: (count, height, width=height)."""

    def make(count: int, height: int, width: int | None = None) -> torch.Tensor:
        coarse = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        grown = nn.functional.interpolate(255 * coarse, (height, width or height), mode="bilinear")
        return grown.to(torch.uint8)

    return make


@pytest.fixture(scope="session")
def settled(blots: Blots) -> Settled:
    """Makes a network that answers each image differently: (names=NAMES)."""

    def make(names: tuple[str, ...] = NAMES) -> nn.Module:
        model = build(names, init="random", seed=3)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
        model(scale(blots(16, 32)))  # moments that fit
        nn.init.normal_(model.get_parameter("classifier.bias"), std=0.5)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def model(settled: Settled) -> nn.Module:
    """Not to be changed."""
    return settled()


@pytest.fixture(scope="session")
def weights(
    tmp_path_factory: pytest.TempPathFactory, model: nn.Module, save_weights: Callable[..., Path]
) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    return save_weights(path, model, NAMES)
