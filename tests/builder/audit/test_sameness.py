from collections.abc import Callable

import numpy as np
import pytest

from builder.audit.chance import resamples
from builder.audit.ms_ssim import ms_ssim, scales
from builder.audit.sameness import COUPLES, couples_of, sameness
from builder.contract import Bytes


def test_couples_share_a_stratum_and_none_is_there_twice() -> None:
    strata = np.array([0] * 5 + [1] * 2 + [2] + [3] * 30)
    couples = couples_of(strata, 0)
    assert (strata[couples[:, 0]] == strata[couples[:, 1]]).all()
    assert (couples[:, 0] < couples[:, 1]).all()
    assert len({*map(tuple, couples.tolist())}) == len(couples) == 10 + 1 + 435
    assert len(couples_of(np.zeros(500, np.int64), 0)) == COUPLES
    assert len(couples_of(np.arange(9), 0)) == 0


def test_the_values_are_those_of_both_sets_and_of_pairs_that_change_sides(
    chests: Callable[[int, int], Bytes],
) -> None:
    x, y = chests(6, 0), chests(6, 1)
    x[:3] = (x[:3] * 0.3 + x[0] * 0.7).astype(np.uint8)
    couples = couples_of(np.array([0, 0, 0, 1, 1, 1]), 0)
    found = sameness(x, y, couples)
    first, second = couples.T
    assert found.synthetic == pytest.approx(ms_ssim(scales(x[first]), scales(x[second])))
    assert found.held_out == pytest.approx(ms_ssim(scales(y[first]), scales(y[second])))
    differences = found.differences()
    assert differences.sum() == pytest.approx(found.synthetic.mean() - found.held_out.mean())
    sign = np.array([1, -1, 1, -1, -1, 1])
    swapped = [np.where(sign[:, None, None] > 0, *two) for two in ((x, y), (y, x))]
    other = sameness(*swapped, couples)
    assert sign @ differences == pytest.approx(other.synthetic.mean() - other.held_out.mean())


def test_a_resample_weighs_couples_by_how_often_both_are_drawn(
    chests: Callable[[int, int], Bytes],
) -> None:
    x = chests(4, 0)
    found = sameness(x, x, couples_of(np.zeros(4, np.int64), 0))
    drawn = np.array([[1, 1, 1, 1], [2, 1, 0, 1], [4, 0, 0, 0]], float)
    means = found.resampled(found.synthetic, drawn)
    value = {tuple(c): v for c, v in zip(found.couples.tolist(), found.synthetic, strict=True)}
    assert means[0] == pytest.approx(np.mean(found.synthetic))
    expected = (2 * value[0, 1] + 2 * value[0, 3] + value[1, 3]) / 5
    assert means[1] == pytest.approx(expected)
    assert np.isnan(means[2])
    assert resamples(4, 2, 0, "drawn").shape == (3, 4)
