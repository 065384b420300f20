import pytest

from trainer.report.results import AucEstimate
from trainer.report.sentences import DASH
from trainer.report.tables.cells import (
    count,
    interval,
    number,
    p_value,
    share,
    starts,
    with_interval,
)


def auc(low: float | None = 0.757, high: float | None = 0.834) -> AucEstimate:
    return AucEstimate(value=0.8, low=low, high=high, error=None, degrees=None, seed_share=None)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (number(0.12345), "0.123"),
        (number(0.12345, "+"), "+0.123"),
        (count(9825), "9,825"),
        (share(0.15018, 2), "15.02 %"),
        (p_value(0.0123), "0.012"),
        (p_value(0.0004), "< 0.001"),
        (interval(0.757, 0.834), "0.757 to 0.834"),
        (interval(0.757, 0.834, "+"), "+0.757 to +0.834"),
        (with_interval(auc()), "0.800 (0.757 to 0.834)"),
        (with_interval(auc(None, None), "+"), "+0.800"),
    ],
)
def test_numbers_as_cells_show_them(shown: str, text: str) -> None:
    assert shown == text


def test_what_is_missing_is_a_dash() -> None:
    missing = (number(None), count(None), share(None, 1), p_value(None), with_interval(None))
    assert {*missing, interval(None, None), interval(0.757, None), interval(None, 0.834)} == {DASH}


def test_a_group_begins_where_the_first_cells_change() -> None:
    rows = [("a", "x"), ("a", "y"), ("b", "y"), ("b", "y")]
    assert starts(rows) == {2}
    assert starts(rows, 2) == {1, 2}
