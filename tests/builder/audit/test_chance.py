import numpy as np
import pytest

from builder.audit.chance import (
    FLIPS,
    LEVEL,
    Worse,
    beyond_chance,
    chance_of,
    flips,
    normal,
    p_value,
    percentiles,
    resamples,
    shuffled,
    some,
)


def test_random_orders_are_permutations_that_seed_and_name_fix() -> None:
    order = shuffled(100, 3, "pairs")
    assert sorted(order.tolist()) == [*range(100)]
    assert np.array_equal(order, shuffled(100, 3, "pairs"))
    assert not np.array_equal(order, shuffled(100, 4, "pairs"))
    assert not np.array_equal(order, shuffled(100, 3, "train"))


def test_a_resample_draws_as_many_with_replacement() -> None:
    drawn = resamples(50, 200, 0, "drawn")
    assert drawn.shape == (201, 50)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(axis=1) == 50).all()
    assert abs(drawn[1:].var() - 1) < 0.1


def test_half_of_the_flips_change_sides() -> None:
    signs = flips(200, 0)
    assert signs.shape == (FLIPS, 200)
    assert {*np.unique(signs).tolist()} == {-1, 1}
    assert abs(signs.mean()) < 0.01


def test_honest_differences_are_rarely_beyond_chance_and_real_ones_mostly() -> None:
    random = np.random.default_rng(1)
    signs = flips(80, 0)
    honest = [chance_of(random.normal(0, 1, 80), signs, "greater") for _ in range(400)]
    assert abs(np.mean(np.array(honest) <= 0.05) - 0.05) < 0.03
    shifted = [chance_of(random.normal(0.5, 1, 80), signs, "greater") for _ in range(100)]
    assert np.mean(np.array(shifted) <= 0.05) > 0.95


@pytest.mark.parametrize(("worse", "expected"), [("greater", 0.3), ("less", 0.9), ("either", 0.5)])
def test_the_share_of_chance_that_is_as_bad(worse: Worse, expected: float) -> None:
    null = np.array([-3, -2, -1, 0, 0.1, 0.2, 0.3, 1.5, 2])
    assert p_value(1.5, null, worse) == pytest.approx(expected)


def test_figures_that_never_change_do_not_differ() -> None:
    assert p_value(0.0, np.zeros(9), "less") == 1


def test_holms_rule() -> None:
    assert beyond_chance([0.04, 0.01, 0.02]) == [True, True, True]
    assert beyond_chance([0.04, 0.02, 0.03]) == [False, False, False]
    assert beyond_chance([0.5, 0.001]) == [False, True]
    assert beyond_chance([]) == []
    assert 1 / (FLIPS + 1) * 20 < LEVEL  # twenty figures could all be found


def test_intervals() -> None:
    found = percentiles(np.array([7.0, *range(101)]))
    assert (found.value, found.low, found.high) == (7, 2.5, 97.5)
    alone = percentiles(np.array([7.0]))
    assert (alone.low, alone.high) == (7, 7)
    one = normal(0.9, 0.01, 0, 1)
    assert one.low == pytest.approx(0.704, abs=1e-4)
    assert one.high == 1


def test_some_of_few_are_all() -> None:
    assert some(3, 5, 0, "x").tolist() == [0, 1, 2]
    assert len({*some(50, 5, 0, "x").tolist()}) == 5
