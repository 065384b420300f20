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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Real:
    """A real set that others are compared with."""

    features: Features  # [m, D]
    moments: Moments
    half: Reals  # [D, D], the root of its covariance
    inverse: Reals  # [D, D], of that root


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


def real_of(features: Features) -> Real:
    """The real set of features [m, D] that others are compared with, m at least 2."""
    own = moments(features)
    with one_core():
        return Real(
            features=features,
            moments=own,
            half=_power(own.covariance, 0.5),
            inverse=_power(own.covariance, -0.5),
        )


def fid(features: Features, real: Real) -> tuple[float, float]:
    """The distance of features [n, D] from the real ones, and its variance.

    The variance is over draws of as many images on both sides, by the influence of each image (the
    infinitesimal jackknife); where two sets are alike it is too large, never too small.
    """
    own = moments(features)
    values, vectors = _overlap(own, real)
    roots, gap = np.sqrt(values), own.mean - real.moments.mean
    traces = np.trace(own.covariance) + np.trace(real.moments.covariance)
    with one_core():
        back = real.inverse @ (vectors * roots) @ vectors.T @ real.inverse
    parts = (
        _influence(features, own, gap, _slope(values, vectors, real)),
        _influence(real.features, real.moments, -gap, np.eye(len(back)) - back),
    )
    variance = sum(float(part.var(ddof=1)) / len(part) for part in parts)
    return float(np.square(gap).sum() + traces - 2 * roots.sum()), variance


def fid_differences(synthetic: Features, held_out: Features, real: Real) -> Reals:
    """float64 [n], one for each pair; their sum grows with how much farther `synthetic` is.

    It is each image's influence on FID between all of both sets and `real`: to first order, the
    difference synthetic − held-out. Its sign changes where a pair changes sides.
    """
    both = np.concatenate([synthetic, held_out])
    own = moments(both)
    slope = _slope(*_overlap(own, real), real)
    found = _influence(both, own, own.mean - real.moments.mean, slope)
    return found[: len(synthetic)] - found[len(synthetic) :]


def _overlap(own: Moments, real: Real) -> tuple[Reals, Reals]:
    """Eigenvalues and vectors of the product of both covariances, in its symmetric form."""
    with one_core():
        product = real.half @ own.covariance @ real.half
        values, vectors = np.linalg.eigh((product + product.T) / 2)
    return np.maximum(values, 0), vectors


def _slope(values: Reals, vectors: Reals, real: Real) -> Reals:
    """[D, D]: the derivative of FID by the covariance that those values are of."""
    with one_core():
        back = (vectors * _powers(values, -0.5)) @ vectors.T
        slope: Reals = np.eye(len(values)) - real.half @ back @ real.half
    return slope


def _influence(features: Features, own: Moments, gap: Reals, slope: Reals) -> Reals:
    """float64 [n]: how fast FID grows with the weight of each image, but for a constant."""

    def one(rows: slice) -> Reals:
        centred = features[rows] - own.mean
        along: Reals = 2 * np.einsum("nd,d->n", centred, gap)
        along += np.einsum("nd,nd->n", centred @ slope, centred)
        return along

    return np.concatenate([*blockwise(one, len(features))])


def _powers(values: Reals, exponent: float) -> Reals:
    """Eigenvalues to that power; nothing where they are nothing."""
    real = values > _NOTHING * max(values[-1], 1e-300)
    return np.where(real, np.where(real, values, 1) ** exponent, 0)


def _power(matrix: Reals, exponent: float) -> Reals:
    """A symmetric positive matrix to that power."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    power: Reals = (vectors * _powers(values, exponent)) @ vectors.T
    return power
