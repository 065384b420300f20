"""Weights that answer each image differently, and pictures of every kind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from builder.contract.weights import scale
from trainer.model import build

NAMES = ("Mass", "Odd, (comma)")
Draw = Callable[[Path, int], Path]


@pytest.fixture(scope="session")
def answering() -> nn.Module:
    """A network for two pathologies that answers each image differently."""
    model = build(NAMES, init="random", seed=3)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    blots = torch.rand(16, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    model(scale(nn.functional.interpolate(255 * blots, (64, 64))))  # moments that fit
    return model


@pytest.fixture(scope="session")
def weights(
    tmp_path_factory: pytest.TempPathFactory,
    answering: nn.Module,
    save_weights: Callable[..., Path],
) -> Path:
    """That network's file, for images of 64 pixels."""
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    return save_weights(path, answering, NAMES, height=64, width=64)


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draws a picture of any size and kind (grey, 16-bit, colour) into a PNG or JPEG."""

    def make(path: Path, seed: int) -> Path:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        side = 64 + int(rng.integers(60)), 64 + int(rng.integers(60))
        pixels = np.asarray(Image.fromarray(coarse).resize(side, Image.Resampling.BICUBIC))
        if seed % 4 == 1 and path.suffix == ".png":
            picture = Image.fromarray(pixels.astype(np.uint16) * 257)
        else:
            picture = Image.fromarray(np.stack([pixels] * 3, axis=-1) if seed % 4 == 2 else pixels)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "PNG" if path.suffix.lower() == ".png" else "JPEG")
        return path

    return make


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """A folder of twenty pictures in subfolders, and a file that is none."""
    names = ["b/2.png", "b/10.JPG", "a.jpeg", "c.png", "b.png", "d/e/f.jpg", *map(str, range(14))]
    for seed, name in enumerate(names):
        draw(tmp_path / "images" / (name if "." in name else f"z/{name}.png"), seed)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"
