"""FID: the Fréchet distance of two sets of images, as normal distributions of their features.

Heusel et al. 2017. It grows where there are few images: only values for equally many compare.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.audit.blockwise import blockwise, one_core
from builder.audit.chance import Reals

_NOTHING = 1e-10  # of the largest eigenvalue: below that, rounding

Features = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Mean and covariance of features."""

    mean: Reals  # [D]
    covariance: Reals  # [D, D], unbiased


def moments(features: Features) -> Moments:
    """Of features [n, D], n at least 2."""
    mean = features.mean(axis=0, dtype=np.float64)

    def one(rows: slice) -> Reals:
        centred = features[rows] - mean
        products: Reals = centred.T @ centred
        return products

    width = features.shape[1]
    products = sum(blockwise(one, len(features)), np.zeros((width, width)))
    return Moments(mean=mean, covariance=products / (len(features) - 1))


def fid(synthetic: Moments, real: Moments) -> float:
    """The distance of two sets' moments; 0 where they are equal."""
    gap = synthetic.mean - real.mean
    with one_core():
        half = _power(real.covariance, 0.5)
        values = np.linalg.eigvalsh(half @ synthetic.covariance @ half)
    traces = np.trace(synthetic.covariance) + np.trace(real.covariance)
    return float(np.square(gap).sum() + traces - 2 * np.sqrt(np.maximum(values, 0)).sum())


def fid_influence(features: Features, own: Moments, other: Moments) -> Reals:
    """float64 [n]: how fast FID between `own` and `other` grows with the weight of each image.

    The derivative of FID by mean and covariance, `own`, along each of the features [n, D].
    """
    with one_core():
        half = _power(other.covariance, 0.5)
        slope = np.eye(len(half)) - half @ _power(half @ own.covariance @ half, -0.5) @ half
    gap = own.mean - other.mean

    def one(rows: slice) -> Reals:
        centred = features[rows] - own.mean
        along: Reals = 2 * np.einsum("nd,d->n", centred, gap)
        along += np.einsum("nd,nd->n", centred @ slope, centred)
        return along

    return np.concatenate([*blockwise(one, len(features))])


def fid_variance(synthetic: Features, real: Features) -> float:
    """Of FID, over draws of as many images on both sides (the infinitesimal jackknife)."""
    of = moments(synthetic), moments(real)
    parts = fid_influence(synthetic, of[0], of[1]), fid_influence(real, of[1], of[0])
    return float(sum(part.var(ddof=1) / len(part) for part in parts))


def fid_differences(synthetic: Features, held_out: Features, real: Features) -> Reals:
    """float64 [n], one for each pair; their sum grows with how much farther `synthetic` is.

    It is each image's influence on FID between all of both sets and `real`: to first order, the
    difference synthetic − held-out. Its sign changes where a pair changes sides.
    """
    both = np.concatenate([synthetic, held_out])
    found = fid_influence(both, moments(both), moments(real))
    return found[: len(synthetic)] - found[len(synthetic) :]


def _power(matrix: Reals, exponent: float) -> Reals:
    """A symmetric positive matrix to that power; nothing where its eigenvalues are nothing."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    real = values > _NOTHING * max(values[-1], 1e-300)
    powers = np.where(real, np.where(real, values, 1) ** exponent, 0)
    power: Reals = (vectors * powers) @ vectors.T
    return power
