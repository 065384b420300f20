"""How many images a plan takes, known before any draw, and what to do where they are too many."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf
from typing import Literal

import numpy as np
import numpy.typing as npt

from builder.plan.alone import fewest_alone

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Vectors = Literal["lp", "alone"]
"""Label vectors of synthetic images: those of real ones with the target, or the target alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The plan in expectation, with fractions of images."""

    images: float  # of all targets
    prices: Floats  # [T] dual price of each constraint


def expect(positive: Flags, share: Fraction) -> Expected | None:
    """The solution of the linear programme; None where the shares cannot hold together."""
    from scipy.optimize import linprog

    a, b = share.numerator, share.denominator
    need = a * len(positive) - b * positive.sum(axis=0)
    if (need <= 0).all():
        return Expected(images=0.0, prices=np.zeros(len(need)))
    given = np.stack([positive[column].mean(axis=0) for column in positive.T])  # P(p | L_t)
    solution = linprog(np.ones(len(need)), A_ub=-(b * given - a).T, b_ub=-need, method="highs")
    if solution.x is None:
        return None
    prices = np.maximum(-solution.ineqlin.marginals, 0.0)
    return Expected(images=sum(solution.x.tolist()), prices=prices)


def images_needed(positive: Flags, share: Fraction, vectors: Vectors) -> float:
    """The images of all targets, inf where no number is enough.

    `positive` is [N, T]. With vectors "lp" it is an expectation, with "alone" exact.
    """
    if vectors == "alone":
        render = fewest_alone(positive.sum(axis=0).tolist(), len(positive), share)
        return inf if render is None else sum(render)
    expected = expect(positive, share)
    return inf if expected is None else expected.images


def advice(
    positive: Flags,
    share: Fraction,
    names: tuple[str, ...],
    max_per_real: int,
    vectors: Vectors,
) -> str:
    """Why the shares cannot hold together, and the ways out, each tried and found to work."""

    def images(columns: list[int], at: Fraction) -> float:
        return images_needed(positive[:, columns], at, vectors)

    limit = max_per_real * len(positive)
    everything = list(range(len(names)))
    needed = images(everything, share)
    ways = []
    for percent in range(ceil(100 * share) - 1, 0, -1):
        if images(everything, Fraction(percent, 100)) <= limit:
            ways.append(f"lower --share to {percent / 100:g}")
            break
    some = sorted(everything, key=lambda i: -int(positive[:, i].sum()))
    while len(some) > 1 and images(some, share) > limit:
        some.pop()
    if len(some) < len(names) and images(some, share) <= limit:
        kept = " ".join(f"--target {names[i]!r}" for i in some)
        ways.append(f"keep {len(some)} targets ({kept})")
    if vectors == "alone" and images_needed(positive, share, "lp") <= limit:
        ways.append("draw the label vectors of real images by --vectors lp")
    if needed < inf:
        ways.append(f"allow more by --max-per-real {ceil(needed / len(positive))}")
        found = f"they would take {needed / len(positive):.1f} synthetic images per real one"
    else:
        found = "no number of images is enough"
    return (
        f"The shares of {', '.join(names)} cannot hold together at {float(share):g} within "
        f"{max_per_real} synthetic images per real one ({found}): {', or '.join(ways)}."
    )
