"""A published pickle, converted and loaded, makes the images that the paper's formulas give.

`PaperGenerator` is written from docs/PAPER.md alone, in plain numpy and float64, with loops where
TensorFlow has padding rules: it shares nothing with the generator under test.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from builder.generators import pggan
from builder.generators.tfpickle import convert

Floats = npt.NDArray[np.floating[Any]]
Draw = Callable[..., dict[str, Any]]
Write = Callable[..., Path]

LABELS = ("Lung Lesion", "Pleural Other", "Fracture")


class PaperGenerator:
    """uint8 [B, H, W] by docs/PAPER.md, section "The generator"."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.args, self.variables = state["static_kwargs"], dict(state["variables"])
        self.lod = float(self.variables["lod"])
        self.top = self.args["resolution"].bit_length() - 1

    def __call__(self, latents: Floats, labels: Floats) -> Floats:
        x = np.concatenate([latents, labels], 1).astype(float)
        if self.args.get("normalize_latents", True):
            x = self.pixel_norm(x)
        weight, bias = self.layer("4x4/Dense", np.sqrt(2) / 4, x.shape[1])
        x = self.conv(self.finish((x @ weight).reshape(len(x), -1, 4, 4), bias), "4x4/Conv")
        image = self.grey(x, 2)
        fused = self.args.get("fused_scale", True)
        for r in range(3, self.top + 1):  # as trained: each is blended in by clip(lod - its lod)
            up, block = self.nearest, f"{2**r}x{2**r}"
            x = (
                self.conv_up(x, f"{block}/Conv0_up")
                if fused
                else self.conv(up(x), f"{block}/Conv0")
            )
            x = self.conv(x, f"{block}/Conv1")
            finer = self.grey(x, r)
            image = finer + (up(image) - finer) * np.clip(self.lod - (self.top - r), 0, 1)
        pixels: Floats = np.clip(np.rint((image + 1) / 2 * 255), 0, 255)[:, 0]
        return pixels

    def layer(self, name: str, gain: float, fan_in: int) -> tuple[Floats, Floats]:
        scale = gain / np.sqrt(fan_in) if self.args.get("use_wscale", True) else 1.0
        weight = self.variables[f"{name}/weight"].astype(float) * scale
        return weight, self.variables[f"{name}/bias"]

    def pixel_norm(self, x: Floats) -> Floats:
        epsilon = self.args.get("pixelnorm_epsilon", 1e-8)
        normed: Floats = x / np.sqrt((x**2).mean(1, keepdims=True) + epsilon)
        return normed

    def finish(self, x: Floats, bias: Floats) -> Floats:
        x = x + bias[None, :, None, None]
        x = np.where(x > 0, x, x * (0.2 if self.args.get("use_leakyrelu", True) else 0.0))
        return self.pixel_norm(x) if self.args.get("use_pixelnorm", True) else x

    def nearest(self, x: Floats) -> Floats:
        return x.repeat(2, 2).repeat(2, 3)

    def conv(self, x: Floats, name: str) -> Floats:
        weight, bias = self.layer(name, np.sqrt(2), 9 * x.shape[1])
        padded, size = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), x.shape[2]
        out = np.zeros((len(x), weight.shape[3], size, size))
        for i in range(3):
            for j in range(3):
                part = padded[:, :, i : i + size, j : j + size]
                out += np.einsum("bchw,co->bohw", part, weight[i, j])
        return self.finish(out, bias)

    def conv_up(self, x: Floats, name: str) -> Floats:
        weight, bias = self.layer(name, np.sqrt(2), 9 * x.shape[1])
        wide = np.pad(weight, ((1, 1), (1, 1), (0, 0), (0, 0)))
        kernel = wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]
        size = x.shape[2]
        out = np.zeros((len(x), weight.shape[2], 2 * size, 2 * size))
        for row, column, i, j in np.ndindex(size, size, 4, 4):
            y, z = 2 * row + i - 1, 2 * column + j - 1  # SAME: one cut on each side
            if 0 <= y < 2 * size and 0 <= z < 2 * size:
                out[:, :, y, z] += x[:, :, row, column] @ kernel[i, j].T
        return self.finish(out, bias)

    def grey(self, x: Floats, r: int) -> Floats:
        weight, bias = self.layer(f"ToRGB_lod{self.top - r}", 1.0, x.shape[1])
        image: Floats = np.einsum("bchw,co->bohw", x, weight[0, 0]) + bias[None, :, None, None]
        return image


def drawn_inputs(count: int, labels: int = 3) -> tuple[Floats, Floats]:
    random = np.random.Generator(np.random.PCG64(7))
    drawn = random.integers(0, 2, (count, labels)).astype(np.float32)
    return random.normal(size=(count, 10)).astype(np.float32), drawn


@pytest.mark.parametrize("lod", [0.0, 0.5, 1.25, 2.0, 7.5])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("resolution", [4, 16, 32])
def test_a_published_pickle_makes_the_papers_images(
    random_network: Draw,
    published: Write,
    tmp_path: Path,
    resolution: int,
    fused: bool,
    lod: float,
) -> None:
    state = random_network(lod, resolution=resolution, fused_scale=fused)
    convert(published(state), tmp_path / "g.safetensors", LABELS)
    generator = pggan.load(str(tmp_path / "g.safetensors"), 224)
    found = (generator.labels, generator.resolution, generator.latent_size)
    assert found == (LABELS, resolution, 10)
    images = generator(*drawn_inputs(2))
    expected = PaperGenerator(state)(*drawn_inputs(2))
    assert images.dtype == np.uint8
    assert images.shape == (2, resolution, resolution)
    assert expected.std() > 20
    difference = np.abs(images - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@pytest.mark.parametrize(
    "kwargs",
    [
        {"normalize_latents": False},
        {"use_wscale": False},
        {"use_pixelnorm": False},
        {"pixelnorm_epsilon": 0.1},
        {"use_leakyrelu": False},
        {"label_size": 0},
    ],
    ids=str,
)
def test_each_argument_of_the_network_counts(
    random_network: Draw, published: Write, tmp_path: Path, kwargs: dict[str, object]
) -> None:
    state = random_network(**kwargs)
    names = LABELS[: state["static_kwargs"]["label_size"]]
    convert(published(state), tmp_path / "g.safetensors", names)
    drawn = drawn_inputs(2, labels=len(names))
    images = pggan.load(str(tmp_path / "g.safetensors"), 16)(*drawn)
    assert np.abs(images - PaperGenerator(state)(*drawn)).max() <= 1
