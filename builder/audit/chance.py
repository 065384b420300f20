"""What chance alone gives: resamples, flips of pairs, intervals, and how many claims are too many.

Random words are Philox's raw ones, which are the same in every version of numpy.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from builder.contract.audit import Interval

FLIPS = 999  # of all pairs, at random, that a difference is compared with
LEVEL = 0.05  # of honest sets of images, at most, in which any figure is said to differ
_NORMAL = 1.959964  # standard errors to each side of a 95 % interval

Reals = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Worse = Literal["greater", "less", "either"]


def shuffled(count: int, seed: int, name: str) -> Rows:
    """int64 [count]: a permutation."""
    return np.argsort(_stream(seed, name).random_raw(count), kind="stable")


def some(count: int, size: int, seed: int, name: str) -> Rows:
    """int64: `size` of the numbers below `count`, or all where there are fewer; in order."""
    return np.sort(shuffled(count, seed, name)[:size])


def resamples(count: int, number: int, seed: int, name: str) -> Reals:
    """float64 [1 + number, count]: all once; then how often each is drawn with replacement."""
    words = _stream(seed, name).random_raw(number * count).reshape(number, count)
    drawn = (words % np.uint64(count)).astype(np.int64)
    times = [np.bincount(row, minlength=count) for row in drawn]
    return np.array([np.ones(count), *times], np.float64)


def flips(count: int, seed: int) -> npt.NDArray[np.int8]:
    """int8 [FLIPS, count] in {1, -1}: which pairs change sides."""
    words = _stream(seed, "flips").random_raw(FLIPS * count).reshape(FLIPS, count)
    return (1 - 2 * (words >> np.uint64(63)).astype(np.int8)).astype(np.int8)


def chance_of(differences: Reals, signs: npt.NDArray[np.int8], worse: Worse) -> float:
    """The p-value of a sum of differences between the two of each pair [n].

    Exact where the two of a pair could as well have changed sides (Fisher's test of flipped signs).
    """
    null = np.einsum("bn,n->b", signs, differences)  # BLAS would round by its number of threads
    return p_value(float(differences.sum()), null, worse)


def p_value(found: float, null: Reals, worse: Worse) -> float:
    """The share of chance's values, the found one among them, that are at least as bad."""
    sides = {"greater": (found, null), "less": (-found, -null), "either": (abs(found), abs(null))}
    value, others = sides[worse]
    slack = 1e-9 * max(abs(value), float(np.abs(others).max(initial=0)))  # equal but for rounding
    return float((1 + (others >= value - slack).sum()) / (1 + len(others)))


def beyond_chance(chances: Sequence[float]) -> list[bool]:
    """Which differ, so that among honest ones any does in at most LEVEL of audits (Holm 1979)."""
    found = [False] * len(chances)
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda i: chances[i])):
        if chances[place] > LEVEL / (len(chances) - rank):
            break
        found[place] = True
    return found


def percentiles(values: Reals) -> Interval:
    """The first value, with the interval of the others, which are of resamples."""
    low, high = np.quantile(values[1:], [0.025, 0.975]) if len(values) > 1 else values[[0, 0]]
    return Interval(value=float(values[0]), low=float(low), high=float(high))


def normal(value: float, variance: float, low: float = -np.inf, high: float = np.inf) -> Interval:
    """The value ± 1.96 standard errors, within what the figure can be."""
    half = _NORMAL * float(np.sqrt(variance))
    return Interval(value=value, low=max(low, value - half), high=min(high, value + half))


def _stream(seed: int, name: str) -> np.random.Philox:
    word = int.from_bytes(name.encode()[:8].ljust(8), "little")
    return np.random.Philox(key=np.array([seed % 2**64, word], np.uint64))
