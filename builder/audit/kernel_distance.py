"""KID: the squared distance of the mean features of two sets of images, without bias.

Bińkowski et al. 2018: maximum mean discrepancy with the kernel (x·y / D + 1)³. It does not depend
on the number of images, and may be below 0 where two sets are alike.
"""

import numpy as np
import numpy.typing as npt

from builder.audit.blockwise import blockwise
from builder.audit.chance import Reals

Features = npt.NDArray[np.floating]


def resampled_kid(
    synthetic: Features, real: Features, drawn: Reals, drawn_real: Reals, within_real: Reals
) -> Reals:
    """float64 [R]: in each resample, given how often each image is in it, [R, n] and [R, m].

    `within_real` is `resampled_within` of the real images, which serves several sets.
    """
    pairs = drawn.sum(axis=1) * drawn_real.sum(axis=1)
    between = _products(synthetic, real, drawn, drawn_real) / pairs
    found: Reals = resampled_within(synthetic, drawn) + within_real - 2 * between
    return found


def resampled_within(features: Features, drawn: Reals) -> Reals:
    """float64 [R]: in each resample, the mean of the kernel over pairs of two images of one set.

    A pair of an image with itself, in a resample that has it twice, counts no more than it does in
    the set: not at all. Otherwise resamples would be larger than the value that they surround.
    """
    pairs = drawn.sum(axis=1) ** 2 - (drawn**2).sum(axis=1)
    means: Reals = _products(features, features, drawn, drawn, same=True) / pairs
    return means


def kid_differences(synthetic: Features, held_out: Features, real: Features) -> Reals:
    """float64 [n], one for each pair, which sum to KID(synthetic, real) − KID(held-out, real).

    Synthetic and held-out image i are a pair: where they change sides, the sign changes. What both
    sets have in common cancels out, so that the difference is a sum over images.
    """
    count, both = len(synthetic), np.concatenate([synthetic, held_out])
    own = (np.square(both, dtype=np.float64).sum(axis=1) / both.shape[1] + 1) ** 3
    sums = np.concatenate([*blockwise(lambda rows: _sums(both[rows], both), len(both))]) - own
    to_real = np.concatenate([*blockwise(lambda rows: _sums(both[rows], real), len(both))])
    scores = sums / (count * (count - 1)) - 2 * to_real / (count * len(real))
    differences: Reals = scores[:count] - scores[count:]
    return differences


def _products(
    some: Features, others: Features, drawn: Reals, drawn_others: Reals, *, same: bool = False
) -> Reals:
    """[R]: sums of the kernel times how often both are drawn; `same` leaves out the diagonal."""
    weights = np.ascontiguousarray(drawn_others.T)

    def one(rows: slice) -> Reals:
        kernel = _kernel(some[rows], others)
        if same:
            kernel[np.arange(len(kernel)), np.arange(rows.start, rows.stop)] = 0
        sums: Reals = np.einsum("ri,ir->r", drawn[:, rows], kernel @ weights)
        return sums

    return sum(blockwise(one, len(some)), np.zeros(len(drawn)))


def _sums(some: Features, others: Features) -> Reals:
    sums: Reals = _kernel(some, others).sum(axis=1)
    return sums


def _kernel(some: Features, others: Features) -> Reals:
    products = np.asarray(some, np.float64) @ np.asarray(others, np.float64).T
    kernel: Reals = (products / some.shape[1] + 1) ** 3
    return kernel
