"""The closed form: no counts with a smaller sum hold, found by trying them all."""

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.plan.alone import fewest_alone
from builder.plan.branch_and_bound import solve

SHARES = st.builds(Fraction, st.integers(1, 9), st.integers(10, 40))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[int], int]:
    """Positives of up to three targets among up to 25 rows."""
    rows = draw(st.integers(1, 25))
    return draw(st.lists(st.integers(0, rows), min_size=1, max_size=3)), rows


def holds(render: Sequence[int], positives: Sequence[int], rows: int, share: Fraction) -> bool:
    total = rows + sum(render)
    return all(p + n >= share * total for p, n in zip(positives, render, strict=True))


@settings(deadline=None, max_examples=150)
@given(tables(), SHARES)
def test_no_counts_with_a_smaller_sum_hold(table: tuple[list[int], int], share: Fraction) -> None:
    positives, rows = table
    found = fewest_alone(positives, rows, share)
    most = 24 if found is None else sum(found) - 1  # of the sums below which nothing holds
    sums = range(min(most, 24) + 1)
    for render in itertools.product(sums, repeat=len(positives)):
        assert sum(render) > most or not holds(render, positives, rows, share)
    assert found is None or holds(found, positives, rows, share)


@settings(deadline=None, max_examples=100)
@given(tables(), SHARES)
def test_branch_and_bound_proves_the_same_number(
    table: tuple[list[int], int], share: Fraction
) -> None:
    """The same programme for the solver that knows nothing of its form."""
    positives, rows = table
    a, b = share.numerator, share.denominator
    found = fewest_alone(positives, rows, share)
    length = 60 if found is None else sum(found) + 5
    steps = np.arange(length + 1)[:, None] * (b * np.eye(len(positives), dtype=np.int64)[:, None])
    gain = [each - a * np.arange(length + 1)[:, None] for each in steps]
    need = a * rows - b * np.array(positives)
    solved = solve(gain, need, np.ones(len(positives)))
    if found is None:
        assert solved is None
    else:
        assert solved == (found, sum(found))


@pytest.mark.parametrize("rows", [10**6, 10**12])
def test_large_tables_take_few_steps(rows: int) -> None:
    positives, share = [rows // 100] * 6, Fraction(15, 100)  # together they fill nine tenths
    found = fewest_alone(positives, rows, share)
    assert found is not None
    assert holds(found, positives, rows, share)
    assert len({*found}) == 1
    assert not holds([n - 1 for n in found], positives, rows, share)


def test_targets_that_would_fill_more_than_everything_have_no_plan() -> None:
    assert fewest_alone([1, 1], 10, Fraction(1, 2)) is None
    assert fewest_alone([1, 1, 1], 10, Fraction(2, 5)) is None
    assert fewest_alone([5, 5], 10, Fraction(1, 2)) == (0, 0)
    assert fewest_alone([4, 5], 10, Fraction(1, 2)) is None
    assert fewest_alone([4, 6], 10, Fraction(1, 2)) == (2, 0)  # 6 and 6 of 12
