"""The exact solver: its counts hold, and its bound is one, whenever it stops."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from builder.contract import Labels
from builder.plan import plan_balance
from builder.plan.branch_and_bound import solve

RandomLabels = Callable[..., Labels]


def gains(seed: int, targets: int = 2, length: int = 30) -> list[np.ndarray]:
    """Sequences in which a draw adds 3 to its own constraint, and 3 or -1 to the others."""
    random = np.random.default_rng(seed)
    found = []
    for target in range(targets):
        steps = np.where(random.random((length, targets)) < 0.2, 3, -1)
        steps[:, target] = 3
        start = np.zeros((1, targets), dtype=np.int64)
        found.append(np.concatenate([start, steps.cumsum(axis=0)]))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_no_other_counts_have_a_smaller_sum(seed: int) -> None:
    gain, need = gains(seed), np.array([12, 9])
    solved = solve(gain, need, np.ones(2))
    assert solved is not None
    counts, bound = solved
    sums = [
        a + b
        for a, b in itertools.product(range(31), repeat=2)
        if (gain[0][a] + gain[1][b] >= need).all()
    ]
    assert sum(counts) == bound == min(sums)
    assert (gain[0][counts[0]] + gain[1][counts[1]] >= need).all()


def test_the_bound_is_valid_when_the_solver_gives_up(
    random_labels: RandomLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = random_labels(300, [0.02, 0.03, 0.04], 5, together=0.3)
    share = Fraction(15, 100)
    solved = plan_balance(labels, targets=[0, 1, 2], share=share)
    monkeypatch.setattr("builder.plan.branch_and_bound._MAX_BOXES", 1)
    hurried = plan_balance(labels, targets=[0, 1, 2], share=share)
    assert hurried.lower_bound <= solved.synthetic <= hurried.synthetic
    assert not hurried.proof().broken()


def test_sequences_that_are_too_short_say_so() -> None:
    gain = [np.array([[0], [1]], dtype=np.int64)]
    assert solve(gain, np.array([5]), np.ones(1)) is None
    assert solve(gain, np.array([1]), np.ones(1)) == ((1,), 1)
