"""Two sets of images → parts of both with the same labels.

Synthetic images hold rare pathologies more often than real ones. Compared as they are, the two
could be told apart by what they show, and that is no fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builder.audit.chance import shuffled
from builder.audit.pictures import Pictures
from builder.audit.probe import Rows, some
from builder.contract import Labels

ENOUGH = 300  # images of each set from which equal label vectors are asked for


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alike:
    """Parts of two sets; where labels are alike, their i-th images have the same ones."""

    first: Pictures
    second: Pictures
    what: str  # they have as often: label vectors, targets, nothing


def alike(first: Pictures, second: Pictures, targets: Sequence[str], size: int, seed: int) -> Alike:
    """At most `size` images of each: of equal label vectors if there are 300 such, or half of all.

    Otherwise of equal labels for the targets; otherwise any.
    """
    names = [name for name in first.sealed.manifest.pathologies if _has(second, name)]
    wanted = min(ENOUGH, min(len(first), len(second), size) // 2)
    for what, columns in (
        ("label vectors", names),
        ("targets", [name for name in targets if name in names]),
    ):
        pairs = _pairs(labels_of(first, columns), labels_of(second, columns), seed)
        if columns and len(pairs) >= max(1, wanted):
            pairs = pairs[some(len(pairs), size, seed, "pairs")]
            one, other = (part.take(pairs[:, i]) for i, part in enumerate((first, second)))
            return Alike(first=one, second=other, what=what)
    one, other = (part.take(some(len(part), size, seed, "sample")) for part in (first, second))
    return Alike(first=one, second=other, what="nothing")


def labels_of(pictures: Pictures, names: Sequence[str]) -> Labels:
    """int8 [N, len(names)]: the labels for those pathologies, -1 for any that the set lacks."""
    known = pictures.sealed.manifest.pathologies
    found = np.full((len(pictures), len(names)), -1, np.int8)
    labels = pictures.labels
    for i, name in enumerate(names):
        if name in known:
            found[:, i] = labels[:, known.index(name)]
    return found


def _has(pictures: Pictures, name: str) -> bool:
    return name in pictures.sealed.manifest.pathologies


def _pairs(first: Labels, second: Labels, seed: int) -> Rows:
    """int64 [M, 2]: positions in both of images with the same labels, each at most once."""
    both = np.concatenate([first, second])
    _, vector = np.unique(both, axis=0, return_inverse=True)
    vector = vector.reshape(-1).astype(np.int64)
    sides = [_ranked(vector[: len(first)], seed), _ranked(vector[len(first) :], seed)]
    size = len(both)
    # one code a vector and rank in it: the first image with a vector meets the other side's first
    one, other = (vectors * size + ranks for vectors, ranks, _ in sides)
    _, *found = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    return np.stack([side[2][places] for side, places in zip(sides, found, strict=True)], axis=1)


def _ranked(vector: Rows, seed: int) -> tuple[Rows, Rows, Rows]:
    """Vector, rank among the images of that vector, position; in an order that the seed fixes."""
    order = shuffled(len(vector), seed, "alike")
    order = order[np.argsort(vector[order], kind="stable")]
    ordered = vector[order]
    ranks = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return ordered, ranks, order
