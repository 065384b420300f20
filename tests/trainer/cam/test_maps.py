from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from builder.contract.weights import scale
from trainer.cam import activation_maps, overlay
from trainer.model import build

Settled = Callable[..., nn.Module]
Blots = Callable[..., torch.Tensor]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (96, 64), (224, 224)])
def test_the_mean_of_a_map_plus_the_bias_is_the_logit(
    model: nn.Module, blots: Blots, height: int, width: int
) -> None:
    images = blots(3, height, width)
    with torch.inference_mode():
        logits = model(scale(images))[:, [2, 0]]
        bias = model.get_parameter("classifier.bias")[[2, 0]]
    maps, probabilities = activation_maps(model, images, [2, 0])
    assert maps.shape == (3, 2, height // 32, width // 32)
    assert maps.dtype == probabilities.dtype == torch.float32
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + bias, logits)
    torch.testing.assert_close(probabilities, torch.sigmoid(logits))
    assert logits.std() > 0.05  # or the test shows nothing


def test_a_network_in_training_is_asked_as_if_it_were_not(settled: Settled, blots: Blots) -> None:
    fresh = settled()
    expected = activation_maps(fresh, blots(2, 32), [1])
    found = activation_maps(fresh.train(), blots(2, 32), [1])
    torch.testing.assert_close(found, expected)
    assert not fresh.training


def squares(count: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Noise of 2×2 cells, half of it with a bright square in one cell: images, whether, where."""
    images = 60 + 60 * torch.rand(count, 1, 64, 64, generator=generator)
    there = torch.arange(count) % 2
    cells = torch.randint(0, 4, (count,), generator=generator)
    for image, one, cell in zip(images, there.tolist(), cells.tolist(), strict=True):
        top, left = (32 * at + 8 for at in divmod(cell, 2))
        image[:, top : top + 16, left : left + 16] += 100 * one
    return images.to(torch.uint8), there, cells


def test_a_network_that_learned_to_see_a_square_shows_where_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    model = build(["Square"], init="random", seed=0).train()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.3  # there are few steps
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(12):
        images, there, _ = squares(16, generator)
        logits = model(scale(images))[:, 0]
        adam.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logits, there.float()).backward()
        adam.step()
    images, there, cells = squares(40, generator)
    maps, probabilities = activation_maps(model, images, [0])
    assert ((probabilities[:, 0] > 0.5) == there.bool()).float().mean() > 0.9
    lit = maps[there == 1, 0].flatten(1)
    assert (lit.argmax(dim=1) == cells[there == 1]).float().mean() > 0.9
    assert (lit.amax(dim=1) > 0).float().mean() > 0.9  # it speaks for the square
    assert maps[there == 0].mean() < 0  # and its absence against it


class Bright(nn.Module):
    """A network of one feature: how bright a cell of 8 pixels is; it speaks for 0, against 1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.AvgPool2d(8)
        self.classifier = nn.Linear(1, 2)
        self.classifier.weight.data = torch.tensor([[0.01], [-0.01]])
        self.classifier.bias.data = torch.tensor([-2.0, 2.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = self.classifier(torch.relu(self.features(x)).mean(dim=(2, 3)))
        return seen


def test_a_bright_square_lights_up_where_it_is() -> None:
    images = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    images[..., 8:16, 24:32] = 255
    maps, probabilities = activation_maps(Bright(), images, [0, 1])
    expected = torch.zeros(4, 4)
    expected[1, 3] = 10.24  # the dark is cut off, as by the network's own relu
    torch.testing.assert_close(maps[0], torch.stack([expected, -expected]))
    assert probabilities[0].tolist() == pytest.approx([0.2042, 0.7958], abs=1e-4)
    colours = overlay(images[0, 0].numpy(), maps[0, 0].numpy(), 10.24).astype(int)
    warm = colours[..., 0] - colours[..., 2]
    assert np.argwhere(warm == warm.max()).mean(axis=0) == pytest.approx((11.5, 27.5), abs=2.1)
    assert not warm[:, :16].any()
    assert not warm[20:].any()
