"""Precision, recall, density and coverage: whose images lie among whose nearest neighbours.

Kynkäänniemi et al. 2019, Naeem et al. 2020, with K = 5. Around each image of one set is a ball as
far as its K-th neighbour in that set; what counts is which images of the other set lie in it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.audit.blockwise import blockwise
from builder.audit.chance import Reals, Rows

K = 5
NAMES = ("precision", "recall", "density", "coverage")
_DEEP = 16  # neighbours that are remembered, so that some of them can be left out

Features = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Near:
    """Images of one set, each with its nearest others in that set."""

    features: Features  # [n, D]
    near: Rows  # [n, depth]
    far: Reals  # [n, depth], squared distances, ascending


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Balls:
    """Balls around `owners` that hold `queries`, for whichever of both are taken to be there."""

    owners: Near
    queries: int
    owner: npt.NDArray[np.int32]  # [H]: query h is nearer to owner h than its last neighbour
    query: npt.NDArray[np.int32]  # [H]
    distance: Reals  # [H], squared

    def holding(self, owners: Mask, queries: Mask) -> tuple[Rows, Rows]:
        """How many balls each query lies in, and how many queries each ball holds."""
        enough = np.cumsum(owners[self.owners.near], axis=1, dtype=np.int16) >= K
        enough[:, -1] = True
        far = self.owners.far
        radius = far[np.arange(len(far)), enough.argmax(axis=1)]
        inside = self.distance < radius[self.owner]
        inside &= owners[self.owner] & queries[self.query]
        return (
            np.bincount(self.query[inside], minlength=self.queries),
            np.bincount(self.owner[inside], minlength=len(far)),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlap:
    """Two sets of images among each other, whichever of each are taken to be there."""

    around_real: Balls  # hold synthetic images
    around_synthetic: Balls  # hold real images

    def figures(self, synthetic: Mask, real: Mask) -> Reals:
        """float64 [4]: those of NAMES."""
        inside, held = self.around_real.holding(real, synthetic)
        covered, _ = self.around_synthetic.holding(synthetic, real)
        precision, density = (inside[synthetic] > 0).mean(), inside[synthetic].mean() / K
        return np.array(
            [precision, (covered[real] > 0).mean(), density, (held[real] > 0).mean()], np.float64
        )


def overlap(synthetic: Near, real: Near) -> Overlap:
    """Of two sets of more than K images."""
    return Overlap(
        around_real=_balls(real, synthetic.features),
        around_synthetic=_balls(synthetic, real.features),
    )


def overlap_figures(found: Overlap) -> Reals:
    """float64 [4]: those of NAMES, of all images of both sets."""
    sides = (found.around_synthetic.owners, found.around_real.owners)
    masks = [np.ones(len(side.far), bool) for side in sides]
    return found.figures(masks[0], masks[1])


def overlap_variances(found: Overlap, order: Rows, order_real: Rows, parts: int = 20) -> Reals:
    """float64 [4]: of each figure, leaving out a part of one set at a time (the jackknife).

    A bootstrap would not do: an image that is drawn twice is its own nearest neighbour. Parts are
    of the images in that order.
    """
    total = np.zeros(len(NAMES))
    all_of = np.ones(len(order), bool), np.ones(len(order_real), bool)
    for side, places in enumerate((order, order_real)):
        values = []
        for part in range(parts):
            left = [mask.copy() for mask in all_of]
            left[side][places[part::parts]] = False
            values.append(found.figures(left[0], left[1]))
        total += (parts - 1) * np.var(values, axis=0)
    return total


def flipped_overlaps(
    synthetic: Features, held_out: Features, real: Near, signs: npt.NDArray[np.int8]
) -> Reals:
    """float64 [B, 4]: the difference synthetic − held-out of each figure after each flip [B, n].

    Synthetic and held-out image i are a pair, which change sides where the sign is −1.
    """
    # About half of an image's neighbours are on its side, so that 8 K are more than enough.
    found = overlap(near_of(np.concatenate([synthetic, held_out]), depth=8 * K), real)
    there = np.ones(len(real.far), bool)

    def difference(sign: npt.NDArray[np.int8]) -> Reals:
        first = np.concatenate([sign > 0, sign < 0])
        return found.figures(first, there) - found.figures(~first, there)

    def one(rows: slice) -> Reals:
        return np.array([difference(sign) for sign in signs[rows]])

    return np.concatenate([*blockwise(one, len(signs), rows=32)])


def near_of(features: Features, depth: int = _DEEP) -> Near:
    """The nearest others of features [n, D], n more than K; at most `depth` of them."""
    depth = min(depth, len(features) - 1)

    def one(rows: slice) -> tuple[Rows, Reals]:
        squares = _squares(features[rows], features)
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        near = np.argpartition(squares, depth - 1, axis=1)[:, :depth]
        near.sort(axis=1)  # equal distances in the order of the images
        far = np.take_along_axis(squares, near, axis=1)
        order = np.argsort(far, axis=1, kind="stable")
        return np.take_along_axis(near, order, axis=1), np.take_along_axis(far, order, axis=1)

    parts = zip(*blockwise(one, len(features)), strict=True)
    near, far = (np.concatenate(part) for part in parts)
    return Near(features=features, near=near, far=far)


def _balls(owners: Near, queries: Features) -> Balls:
    def held(rows: slice) -> tuple[Rows, Rows, Reals]:
        squares = _squares(owners.features[rows], queries)
        owner, query = np.nonzero(squares < owners.far[rows, -1:])
        return owner + rows.start, query, squares[owner, query]

    owner, query, distance = (
        np.concatenate(part) for part in zip(*blockwise(held, len(owners.far)), strict=True)
    )
    return Balls(
        owners=owners,
        queries=len(queries),
        owner=owner.astype(np.int32),
        query=query.astype(np.int32),
        distance=distance,
    )


def _squares(some: Features, others: Features) -> Reals:
    """[n, m]: squared distances."""
    one, two = np.asarray(some, np.float64), np.asarray(others, np.float64)
    squares: Reals = np.square(one).sum(axis=1)[:, None] + np.square(two).sum(axis=1)
    squares -= 2 * one @ two.T
    return np.maximum(squares, 0, out=squares)
