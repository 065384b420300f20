"""The share is a half for honest images, and more for copies."""

from collections.abc import Callable

import numpy as np
import pytest

from builder.audit.nearness import judge_nearness
from builder.audit.pictures import Pictures
from builder.audit.settings import Settings
from builder.contract import Bytes
from builder.progress import Progress

Chests = Callable[[int, int], Bytes]
Make = Callable[..., Pictures]
SETTINGS = Settings(resamples=100, sample=120)


@pytest.fixture(scope="module")
def sides(make_pictures: Make, chests: Chests) -> tuple[Pictures, Pictures]:
    patients = np.array([f"patient{i // 3}" for i in range(300)], np.object_)
    train = make_pictures(chests(300, 0), patients=patients)
    return train, make_pictures(chests(110, 1), split="test")


def test_a_half_for_honest_images(
    sides: tuple[Pictures, Pictures], make_pictures: Make, chests: Chests, show: Progress
) -> None:
    honest = make_pictures(chests(200, 2), origin="synthetic")
    found = judge_nearness(honest, *sides, settings=SETTINGS, show=show)
    assert found.share.low < 0.5 < found.share.high
    assert found.share.high - found.share.low < 0.6
    assert (found.synthetic, found.real) == (120, 110)
    assert judge_nearness(honest, *sides, settings=SETTINGS, show=show) == found


def test_more_for_copies(
    sides: tuple[Pictures, Pictures], make_pictures: Make, show: Progress
) -> None:
    copies = make_pictures(np.array(sides[0].reduced), origin="synthetic")
    found = judge_nearness(copies, *sides, settings=SETTINGS, show=show)
    assert found.share.low > 0.55
    swapped = judge_nearness(copies, sides[1], sides[0], settings=SETTINGS, show=show)
    assert swapped.share.high < 0.45
