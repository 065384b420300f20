"""A sealed dataset → which samples a gallery shows, and in which order.

The order is that of the sheets: a browser loads few of them where what is looked for lies close
together. So samples are ordered by origin, split and target, and then by the rarest pathology that
they are positive for.
"""

import numpy as np

from builder.audit.pictures import Rows, Sealed
from builder.contract import SPLITS, UsageError

ORIGINS = ("synthetic", "real")  # in the order of a gallery: what is judged comes first


def samples_of(sealed: Sealed, *, synthetic_only: bool) -> Rows:
    """int64 [N]: rows of the index in the order of the gallery.

    UsageError where only synthetic images are asked for and there are none.
    """
    index, manifest = sealed.index, sealed.manifest
    rows = np.arange(len(index))
    if synthetic_only:
        rows = np.flatnonzero(index.origin == "synthetic")
    if not len(rows):
        raise UsageError(f"{manifest.name} has no synthetic images: leave out --synthetic-only.")
    positive = index.labels[rows] == 1
    ranks = np.argsort(np.argsort(positive.sum(axis=0), kind="stable"), kind="stable")
    rarest = np.where(positive, ranks, len(ranks)).min(axis=1)
    targets = _places(index.target[rows], ("", *manifest.pathologies))
    splits = _places(index.split[rows], SPLITS)
    origins = _places(index.origin[rows], ORIGINS)
    return rows[np.lexsort((rows, rarest, targets, splits, origins))]


def _places(words: np.ndarray, order: tuple[str, ...]) -> Rows:
    """int64 [N]: the place of each word in `order`; behind all of them where it is not there."""
    place = {word: number for number, word in enumerate(order)}
    return np.array([place.get(word, len(order)) for word in words.tolist()], np.int64)
