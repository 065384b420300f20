"""How alike the images of one label vector are, on average: above the real ones, less diverse."""

from dataclasses import dataclass

import numpy as np

from builder.audit.blockwise import blockwise
from builder.audit.chance import Reals, Rows, shuffled
from builder.audit.ms_ssim import ms_ssim, scales
from builder.contract import Bytes

COUPLES = 1000  # at most, of two images with the same labels
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sameness:
    """MS-SSIM within couples of pairs: of the two synthetic images, of the two held-out images."""

    couples: Rows  # [C, 2]: two pairs with the same labels
    synthetic: Reals  # [C]
    held_out: Reals  # [C]
    crossed: Reals  # [C]: of synthetic first and held-out second, less the reverse
    pairs: int

    def resampled(self, values: Reals, drawn: Reals) -> Reals:
        """float64 [R]: the mean value in each resample of the pairs [R, n]; nan without couples."""
        times = drawn[:, self.couples[:, 0]] * drawn[:, self.couples[:, 1]]
        sums, total = np.einsum("rc,c->r", times, values), times.sum(axis=1)
        means = np.full(len(sums), np.nan)
        np.divide(sums, total, out=means, where=total > 0)
        return means

    def differences(self) -> Reals:
        """float64 [n], one for each pair, which sum to the difference synthetic − held-out.

        Their signs change where pairs change sides: if both of a couple do, or neither, the couple
        is of two images of one set; if one does, of the two that are crossed.
        """
        same, crossed = (self.synthetic - self.held_out) / 2, self.crossed / 2
        first, second = self.couples.T
        sums = np.bincount(first, same + crossed, self.pairs)
        sums += np.bincount(second, same - crossed, self.pairs)
        return sums / len(self.couples)


def couples_of(strata: Rows, seed: int) -> Rows:
    """int64 [C, 2]: pairs of one stratum, as many of each as it has members, or a multiple."""
    order = shuffled(len(strata), seed, "couples")
    order = order[np.argsort(strata[order], kind="stable")]
    sizes = np.unique(strata, return_counts=True)[1]
    starts = np.cumsum(sizes) - sizes
    found: set[tuple[int, int]] = set()
    for step in range(1, int(sizes.max(initial=1)) // 2 + 1):
        if len(found) >= COUPLES:
            break
        for start, size in zip(starts, sizes, strict=True):
            ring = order[start : start + size] if 2 * step <= size else order[:0]
            ends = zip(ring.tolist(), np.roll(ring, -step).tolist(), strict=True)
            found |= {(min(pair), max(pair)) for pair in ends}
    couples = np.array(sorted(found), np.int64).reshape(-1, 2)
    return couples[np.sort(shuffled(len(couples), seed, "chosen")[:COUPLES])]


def sameness(synthetic: Bytes, held_out: Bytes, couples: Rows) -> Sameness:
    """Of pairs of images uint8 [n, H, W], that are at least MIN_SIDE pixels a side."""

    def compared(rows: slice) -> Reals:
        first, second = couples[rows].T
        one, other = scales(synthetic[first]), scales(synthetic[second])
        its, others = scales(held_out[first]), scales(held_out[second])
        crossed = ms_ssim(one, others) - ms_ssim(its, other)
        return np.array([ms_ssim(one, other), ms_ssim(its, others), crossed])

    found = np.concatenate([*blockwise(compared, len(couples), _AT_ONCE)], axis=1)
    return Sameness(
        couples=couples,
        synthetic=found[0],
        held_out=found[1],
        crossed=found[2],
        pairs=len(synthetic),
    )
