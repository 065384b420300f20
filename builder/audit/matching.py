"""Which images quality is judged on: synthetic ones, held-out ones with the same labels, train.

Synthetic images are rendered for rare pathologies, so that any real set has other labels, and would
be far from them for that alone. So each synthetic image gets a held-out real image with the same
label vector as its partner, and both sets are compared with training images. Were both from one
distribution, the two of a pair could change sides, and nothing would look different: that is what
chance is measured by. The partners are held out because features are fitted to training images,
which are therefore like nothing else. One image of a patient, because two are not independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builder.audit.chance import Rows, shuffled
from builder.audit.pictures import Pictures

ENOUGH = 50  # images of each side, or pairs with the same labels, from which figures are told


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


def compared(
    synthetic: Pictures, train: Pictures, held_out: Pictures, sample: int, seed: int
) -> Compared | None:
    """At most `sample` images of each; None where there are not ENOUGH to tell any figure.

    Labels are matched as closely as leaves ENOUGH pairs.
    """
    for level in _levels(synthetic, train):
        labels, names = level
        vectors = _numbered((synthetic, held_out, train), names)
        shared = np.intersect1d(vectors[0], vectors[1])
        mine = _one_each(synthetic, vectors[0], shared, seed, "synth")
        theirs = _one_each(held_out, vectors[1], shared, seed, "held-out")
        pairs = _pairs(vectors[0][mine], vectors[1][theirs])
        if len(pairs) >= ENOUGH:
            pairs = pairs[shuffled(len(pairs), seed, "pairs")[:sample]]
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


def _levels(synthetic: Pictures, real: Pictures) -> list[tuple[str, list[str]]]:
    """Which labels may be matched, the closest first: what they are, and their pathologies."""
    manifests = synthetic.sealed.manifest, real.sealed.manifest
    names = [name for name in manifests[0].pathologies if name in manifests[1].pathologies]
    targets = [name for name in names if name in manifests[0].targets]
    levels = [("label vectors", names), ("labels for the targets", targets)]
    return [*(level for level in levels if level[1]), ("", [])]


def _numbered(sets: Sequence[Pictures], names: Sequence[str]) -> list[Rows]:
    """A number for each image's labels for those pathologies: equal labels, equal numbers."""
    edges = np.cumsum([len(pictures) for pictures in sets])
    if not names:
        return np.split(np.zeros(edges[-1], np.int64), edges[:-1])
    columns = []
    for pictures in sets:
        known = pictures.sealed.manifest.pathologies
        columns.append(pictures.labels[:, [known.index(name) for name in names]])
    _, numbers = np.unique(np.concatenate(columns), axis=0, return_inverse=True)
    return np.split(numbers.ravel(), edges[:-1])


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


def _pairs(some: Rows, others: Rows) -> Rows:
    """int64 [n, 2]: places in both of the same label vector, each used once, as many as can be."""
    numbered = [np.stack([part, _rank(part)], axis=1) for part in (some, others)]
    places = [{tuple(row): place for place, row in enumerate(part.tolist())} for part in numbered]
    both = [(place, places[1][row]) for row, place in places[0].items() if row in places[1]]
    return np.array(both, np.int64).reshape(-1, 2)


def _rank(values: Rows) -> Rows:
    """How many equal values come before each."""
    order = np.argsort(values, kind="stable")
    _, starts, sizes = np.unique(values[order], return_index=True, return_counts=True)
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - np.repeat(starts, sizes)
    return ranks
