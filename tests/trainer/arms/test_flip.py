from collections.abc import Callable

import pytest
import torch

from trainer.arms import Arm
from trainer.arms.flip import augmentation, flipped
from trainer.recipe import Augment


@pytest.mark.parametrize("kind", ["flip", "radiograph"])
def test_an_image_is_changed_the_same_in_any_batch_and_differently_in_other_epochs(
    kind: Augment,
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (64, 1, 12, 16), dtype=torch.uint8, generator=generator)
    rows, some = torch.arange(64), torch.tensor([40, 3, 17])
    whole = augmentation(kind, count=64, seed=0, epoch=1)(x, rows)
    again = augmentation(kind, count=64, seed=0, epoch=1)(x[some], some)
    assert torch.equal(again, whole[some])
    for seed, epoch in ((0, 2), (1, 1)):
        assert not torch.equal(augmentation(kind, count=64, seed=seed, epoch=epoch)(x, rows), whole)


def images(count: int) -> torch.Tensor:
    return torch.arange(count * 12, dtype=torch.int16).reshape(count, 1, 3, 4)


def test_flip_goes_along_the_axes_asked_for() -> None:
    x = images(4)
    which = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.bool)
    got = flipped(x, which)
    want = torch.stack([x[0], x[1].flip(1), x[2].flip(2), x[3].flip(1).flip(2)])
    assert torch.equal(got, want)


def test_none_changes_nothing() -> None:
    x = images(3)
    assert augmentation("none", count=3, seed=0, epoch=1)(x, torch.arange(3)) is x


def test_each_of_the_four_ways_is_a_quarter() -> None:
    count = 8000
    x = torch.tensor([[1, 2], [3, 4]]).expand(count, 1, 2, 2)
    got = augmentation("flip", count=count, seed=5, epoch=1)(x, torch.arange(count))
    shares = torch.bincount(got[:, 0, 0, 0])[1:] / count  # the corner tells the way
    assert (shares - 0.25).abs().max() < 0.02


def test_the_arm_flips_whatever_the_recipe_says(arm: Callable[..., Arm]) -> None:
    assert arm("flip").augment == "flip"
    assert arm("flip", augment="flip").augment == "flip"
