from collections.abc import Callable

import pytest
import torch

from trainer.arms import Arm
from trainer.arms.radiograph import BRIGHTNESS, CONTRAST, NUMBERS, SHIFT, TURN, changed, draw


def spot(row: int, column: int, height: int = 80, width: int = 120) -> torch.Tensor:
    image = torch.zeros(1, 1, height, width, dtype=torch.uint8)
    image[..., row - 2 : row + 3, column - 2 : column + 3] = 200
    return image


def numbers(**of: float) -> torch.Tensor:
    names = ("turn", "down", "right", "zoom", "contrast", "brightness")
    return torch.tensor([[of.get(name, 0.0) for name in names]])


def middle(image: torch.Tensor) -> tuple[float, float]:
    """Row and column of the centre of mass."""
    mass = image[0, 0] / image.sum()
    rows, columns = (torch.arange(n, dtype=torch.float32) for n in mass.shape)
    return float((mass.sum(1) * rows).sum()), float((mass.sum(0) * columns).sum())


def test_numbers_of_zero_change_nothing() -> None:
    x = torch.randint(256, (3, 1, 9, 12), dtype=torch.uint8)
    got = changed(x, torch.zeros(3, NUMBERS))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, x.float(), atol=1e-2, rtol=0)


def test_a_spot_moves_as_the_numbers_say() -> None:
    x = spot(40, 80)
    assert middle(x.float()) == pytest.approx((40, 80))
    down, right = 80 * SHIFT, 120 * SHIFT
    assert middle(changed(x, numbers(down=1))) == pytest.approx((40 + down, 80), abs=0.1)
    assert middle(changed(x, numbers(right=-1))) == pytest.approx((40, 80 - right), abs=0.1)
    larger = middle(changed(x, numbers(zoom=1)))
    assert larger == pytest.approx((40.04, 81.6), abs=0.2)
    # The middle is at (39.5, 59.5): a turn moves the spot along a circle, in pixels of one size.
    angle = torch.deg2rad(torch.tensor(TURN))
    along = 20.5 * float(torch.sin(angle))
    turned = middle(changed(x, numbers(turn=1)))
    assert turned == pytest.approx((40 - along, 79.9), abs=0.3)


def test_brightness_and_contrast_change_grey_within_its_range() -> None:
    x = torch.tensor([0.0, 100, 200, 255]).to(torch.uint8).reshape(1, 1, 2, 2)
    brighter = changed(x, numbers(brightness=1)).flatten()
    expected = (x.flatten() + 255 * BRIGHTNESS).clamp(max=255)
    torch.testing.assert_close(brighter, expected, atol=1e-2, rtol=0)
    flatter = changed(x, numbers(contrast=-1)).flatten()
    expected = (x.flatten() - 127.5) * (1 - CONTRAST) + 127.5
    torch.testing.assert_close(flatter, expected, atol=1e-2, rtol=0)


def test_the_numbers_of_an_epoch_fill_their_range_evenly() -> None:
    found = draw(4000, seed=3, epoch=2)
    assert found.shape == (4000, NUMBERS)
    assert found.min() >= -1
    assert found.max() < 1
    assert found.mean(dim=0).abs().max() < 0.05
    assert (found.std(dim=0) - 3**-0.5).abs().max() < 0.02
    assert torch.corrcoef(found.T).fill_diagonal_(0).abs().max() < 0.06
    assert torch.equal(draw(10, seed=3, epoch=2), found[:10])


def test_the_arm_changes_images_whatever_the_recipe_says(arm: Callable[..., Arm]) -> None:
    assert arm("radiograph").augment == "radiograph"
    assert arm("radiograph", augment="flip").augment == "radiograph"
    assert arm("gan", augment="radiograph").augment == "radiograph"
