"""Which images are compared: parts of two sets that have the same labels.

Synthetic images hold rare pathologies more often than real ones. Compared as they are, the two
could be told apart by what they show, and that is no fault. So each image gets a partner of the
other set with the same label vector, or at least the same labels for the targets.

For quality, synthetic and held-out images are such pairs, and both are compared with training
images. Were both from one distribution, the two of a pair could change sides, and nothing would
look different: that is what chance is measured by. The partners are held out because features are
fitted to training images, which are therefore like nothing else. One image of a patient, because
two are not independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builder.audit.chance import Rows, shuffled, some
from builder.audit.pictures import Pictures
from builder.contract import Labels

ENOUGH = 50  # images of each side, or pairs with the same labels, that are judged
CLOSE = 300  # pairs, or half of all images, from which `alike` asks for no more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alike:
    """Parts of two sets; where labels are alike, their i-th images have the same ones."""

    first: Pictures
    second: Pictures
    what: str  # they have the same of: label vectors, labels for the targets, nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """Synthetic image i and held-out image i are a pair; both sets are compared with `train`."""

    synthetic: Pictures  # [n]
    held_out: Pictures | None  # [n], of n patients; None where there are too few
    train: Pictures  # [m], of m patients
    strata: Rows  # [n]: the same number, the same labels
    labels: (
        str  # that the two of a pair have the same of: label vectors, labels for the targets, ""
    )

    @property
    def words(self) -> str:
        """What was compared with what, for the record."""
        count, train = f"{len(self.synthetic):,}", f"{len(self.train):,}"
        if self.held_out is None:
            return (
                f"{count} synthetic images, with {train} real training images, one of each patient;"
                " there are too few held-out images for a floor"
            )
        labels = f"with the same {self.labels}" if self.labels else "whose labels differ"
        return (
            f"{count} synthetic and {count} held-out real images {labels}, each with {train} real "
            "training images; one image of each patient"
        )


def alike(first: Pictures, second: Pictures, targets: Sequence[str], size: int, seed: int) -> Alike:
    """At most `size` images of each, labels matched as closely as leaves CLOSE pairs.

    Otherwise any images: as many as there are of each.
    """
    most = min(len(first), len(second), size)
    wanted = max(1, min(CLOSE, most // 2))
    if most >= ENOUGH:  # fewer pairs would not be judged, and any images will be
        wanted = max(wanted, ENOUGH)
    for labels, names in _levels(first, second, targets):
        vectors = _numbered((first, second), names)
        orders = [shuffled(len(numbers), seed, "alike") for numbers in vectors]
        pairs = _pairs(vectors[0][orders[0]], vectors[1][orders[1]])
        if labels and len(pairs) >= wanted:
            pairs = pairs[some(len(pairs), size, seed, "pairs")]
            return Alike(
                first=first.take(orders[0][pairs[:, 0]]),
                second=second.take(orders[1][pairs[:, 1]]),
                what=labels,
            )
    one, other = (part.take(some(len(part), size, seed, "sample")) for part in (first, second))
    return Alike(first=one, second=other, what="nothing")


def compared(
    synthetic: Pictures, train: Pictures, held_out: Pictures, sample: int, seed: int
) -> Compared | None:
    """At most `sample` images of each; None where there are not ENOUGH to tell any figure.

    Labels are matched as closely as leaves ENOUGH pairs.
    """
    for level in _levels(synthetic, train, synthetic.sealed.manifest.targets):
        labels, names = level
        vectors = _numbered((synthetic, held_out, train), names)
        shared = np.intersect1d(vectors[0], vectors[1])
        mine = _one_each(synthetic, vectors[0], shared, seed, "synth")
        theirs = _one_each(held_out, vectors[1], shared, seed, "held-out")
        pairs = _pairs(vectors[0][mine], vectors[1][theirs])
        if len(pairs) >= ENOUGH:
            pairs = pairs[some(len(pairs), sample, seed, "pairs")]
            mine, theirs = mine[pairs[:, 0]], theirs[pairs[:, 1]]
            break
    else:  # of vectors that are all 0
        mine = _one_each(synthetic, vectors[0], np.zeros(1, np.int64), seed, "synth")[:sample]
        theirs = theirs[:0]
    real = _one_each(train, vectors[2], vectors[0][mine], seed, "train")
    if len(real) < ENOUGH:  # with those labels
        real = _one_each(train, vectors[2], vectors[2], seed, "train")
    if min(len(mine), len(real)) < ENOUGH:
        return None
    return Compared(
        synthetic=synthetic.take(mine),
        held_out=held_out.take(theirs) if len(theirs) else None,
        train=train.take(real[:sample]),
        strata=vectors[0][mine],
        labels=labels,
    )


def labels_of(pictures: Pictures, names: Sequence[str]) -> Labels:
    """int8 [N, len(names)]: the labels for those pathologies, -1 for any that the set lacks."""
    known = pictures.sealed.manifest.pathologies
    found = np.full((len(pictures), len(names)), -1, np.int8)
    labels = pictures.labels
    for i, name in enumerate(names):
        if name in known:
            found[:, i] = labels[:, known.index(name)]
    return found


def _levels(one: Pictures, other: Pictures, targets: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Which labels may be matched, the closest first: what they are, and their pathologies."""
    names, others = (each.sealed.manifest.pathologies for each in (one, other))
    shared = [name for name in names if name in others]
    aimed = [name for name in targets if name in shared]
    levels = [("label vectors", shared), ("labels for the targets", aimed)]
    return [*(level for level in levels if level[1]), ("", [])]


def _numbered(sets: Sequence[Pictures], names: Sequence[str]) -> list[Rows]:
    """A number for each image's labels for those pathologies: equal labels, equal numbers."""
    edges = np.cumsum([len(pictures) for pictures in sets])
    if not names:
        return np.split(np.zeros(edges[-1], np.int64), edges[:-1])
    labels = np.concatenate([labels_of(pictures, names) for pictures in sets])
    _, numbers = np.unique(labels, axis=0, return_inverse=True)
    return np.split(numbers.ravel().astype(np.int64), edges[:-1])


def _one_each(pictures: Pictures, vectors: Rows, wanted: Rows, seed: int, name: str) -> Rows:
    """int64: places of one image of each patient that has one with wanted labels, shuffled.

    It is the one whose label vector is the rarest: common ones are there in any case.
    """
    counts = np.bincount(vectors, minlength=int(vectors.max(initial=-1)) + 1)
    order = shuffled(len(pictures), seed, name)
    order = order[np.isin(vectors[order], wanted)]
    by_rarity = order[np.argsort(counts[vectors[order]], kind="stable")]
    _, first = np.unique(pictures.patients[by_rarity].astype(str), return_index=True)
    chosen = np.zeros(len(pictures), bool)
    chosen[by_rarity[first]] = True
    return order[chosen[order]]


def _pairs(these: Rows, others: Rows) -> Rows:
    """int64 [n, 2]: places in both of the same label vector, each used once, as many as can be."""
    size = len(these) + len(others)
    # One code a vector and rank: the first image with a vector meets the other side's first.
    codes = [part * size + _rank(part) for part in (these, others)]
    _, *places = np.intersect1d(codes[0], codes[1], assume_unique=True, return_indices=True)
    return np.stack(places, axis=1)


def _rank(values: Rows) -> Rows:
    """How many equal values come before each."""
    order = np.argsort(values, kind="stable")
    _, starts, sizes = np.unique(values[order], return_index=True, return_counts=True)
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - np.repeat(starts, sizes)
    return ranks
