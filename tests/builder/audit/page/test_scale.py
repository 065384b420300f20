"""Figures on a strip."""

import pytest

from builder.audit.page.scale import strip
from builder.contract.audit import Interval


def test_the_scale_holds_the_figure_its_floor_and_chance() -> None:
    found = Interval(value=0.9, low=0.8, high=1.0)
    floor = Interval(value=0.55, low=0.45, high=0.6)
    drawn = strip(found, floor, 0.5)
    assert drawn.floor is not None
    assert drawn.mark is not None
    span = drawn.high - drawn.low
    assert (drawn.low, drawn.high) == pytest.approx((0.45 - 0.033, 1.033))
    assert drawn.found.left == pytest.approx(100 * (0.8 - drawn.low) / span, abs=0.01)
    assert drawn.found.width == pytest.approx(100 * 0.2 / span, abs=0.01)
    assert drawn.found.value == pytest.approx(100 * (0.9 - drawn.low) / span, abs=0.01)
    assert 0 < drawn.floor.left < drawn.mark < drawn.found.left
    assert drawn.found.left + drawn.found.width < 100


def test_one_value_without_a_floor_lies_in_the_middle() -> None:
    drawn = strip(Interval(value=0.0, low=0.0, high=0.0), None)
    assert (drawn.found.left, drawn.found.width, drawn.found.value) == (50, 0, 50)
    assert drawn.floor is None
    assert drawn.mark is None
