"""The integer programme behind a plan, solved exactly: how many draws of each sequence to take.

Given T sequences of draws, `gain[t][n, p]` is what the first n draws of sequence t add to
constraint p. Find n_1 … n_T ≥ 0 with the smallest sum such that Σ_t gain[t][n_t, p] ≥ need[p] for
every p. A greedy start is trimmed, then branch and bound over boxes lo ≤ n ≤ hi closes the gap;
everything is counted in integers, so the bound is a proof and not an estimate.
"""

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_Box = tuple[list[int], list[int]]

_MAX_BOXES = 2000  # after them, the best plan found is returned with the bound proven so far
_SCALE = 1 << 20  # prices are rounded to this, so that bounds are exact integers


def solve(
    gain: Sequence[Ints], need: Ints, price: npt.NDArray[np.float64]
) -> tuple[tuple[int, ...], int] | None:
    """The counts n_t and a proven lower bound on their sum; equal to the sum = optimal.

    `gain` holds one int64 [length + 1, T] per sequence, with row 0 zero; `need` is int64 [T];
    `price` holds T weights ≥ 0. Any weights give a valid bound; the constraints' dual prices in
    expectation give a tight one. None where the sequences are too short to tell.
    """
    start = _greedy(gain, need)
    if start is None or sum(start) > len(gain[0]) - 1:
        return None
    best = _trim(start, gain, need)
    weight = np.rint(price * _SCALE).astype(np.int64)
    floor = int(weight @ need)
    value = [sequence @ weight - _SCALE * np.arange(len(sequence)) for sequence in gain]

    def bound(box: _Box) -> int:
        """No n in the box that meets the weighted sum of all constraints has a smaller sum."""
        excess = sum(
            int(values[lo : hi + 1].max()) for values, lo, hi in zip(value, *box, strict=True)
        )
        return max(sum(box[0]), -((excess - floor) // _SCALE))

    boxes = [(0, ([0] * len(gain), [sum(best)] * len(gain)))]
    for _ in range(_MAX_BOXES):
        if not boxes or boxes[0][0] >= sum(best):
            return tuple(best), sum(best)
        box = _shrink(heappop(boxes)[1], gain, need, sum(best))
        if box is None:
            continue
        lo, hi = box
        if _holds(lo, gain, need):
            best = lo  # no other point of the box has a smaller sum
            continue
        widest = max(range(len(lo)), key=lambda t: hi[t] - lo[t])
        middle = (lo[widest] + hi[widest]) // 2
        lower = (lo, [*hi[:widest], middle, *hi[widest + 1 :]])
        upper = ([*lo[:widest], middle + 1, *lo[widest + 1 :]], hi)
        for half in (lower, upper):
            heappush(boxes, (bound(half), half))
    return tuple(best), min(sum(best), boxes[0][0])


def _holds(n: Sequence[int], gain: Sequence[Ints], need: Ints) -> bool:
    return bool((sum(g[m] for g, m in zip(gain, n, strict=True)) >= need).all())


def _greedy(gain: Sequence[Ints], need: Ints) -> list[int] | None:
    """Counts that meet every constraint: each target is raised by what it lacks."""
    n = [0] * len(gain)
    own = [int(g[1, t]) for t, g in enumerate(gain)]  # a draw of t always adds this to t itself
    while True:
        short = need - sum(g[m] for g, m in zip(gain, n, strict=True))
        t = int(np.argmax(short))
        if short[t] <= 0:
            return n
        n[t] += -(-int(short[t]) // own[t])
        if n[t] >= len(gain[t]):
            return None


def _trim(n: list[int], gain: Sequence[Ints], need: Ints) -> list[int]:
    """`n` with every count lowered as far as it goes while the others stay."""
    changed = True
    while changed:
        changed = False
        for t, sequence in enumerate(gain):
            others = sum(g[m] for s, (g, m) in enumerate(zip(gain, n, strict=True)) if s != t)
            enough = (sequence[: n[t] + 1] + others >= need).all(axis=1)
            first = int(np.argmax(enough))
            changed |= first < n[t]
            n = [*n[:t], first, *n[t + 1 :]]
    return n


def _shrink(box: _Box, gain: Sequence[Ints], need: Ints, best: int) -> _Box | None:
    """The box without the edges that cannot hold a better answer; None if it holds none."""
    lo, hi = list(box[0]), list(box[1])
    while True:
        before = (list(lo), list(hi))
        for t in range(len(gain)):
            hi[t] = min(hi[t], best - 1 - sum(lo) + lo[t])
            if hi[t] < lo[t]:
                return None
        max_gain = np.stack(
            [g[a : b + 1].max(axis=0) for g, a, b in zip(gain, lo, hi, strict=True)]
        )
        for t, sequence in enumerate(gain):
            lacking = need - (max_gain.sum(axis=0) - max_gain[t])
            able = (sequence[lo[t] : hi[t] + 1] >= lacking).all(axis=1)
            if not able.any():
                return None
            lo[t], hi[t] = (
                lo[t] + int(np.argmax(able)),
                hi[t] - int(np.argmax(able[::-1])),
            )
        if (lo, hi) == before:
            return lo, hi
