"""Label vectors of synthetic images that few real patients have.

A generator that is asked for a vector of one patient may show that patient, and the vector alone
may point at them.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from builder.audit.matching import labels_of
from builder.audit.pictures import Pictures
from builder.audit.settings import Settings
from builder.contract import Labels
from builder.contract.audit import Rare

LISTED = 100  # vectors, at most: the rarest


def judge_rare(synthetic: Pictures, train: Pictures, *, settings: Settings) -> Rare:
    """The synthetic images' label vectors that fewer patients of train have than the settings say.

    Two vectors are equal if all of their labels are, unknown ones included; the list names the
    positive ones, then those that are unknown. `train` must be all of it.
    """
    names = synthetic.sealed.manifest.pathologies
    labels = [labels_of(part, names) for part in (synthetic, train)]
    vectors, at = np.unique(np.concatenate(labels), axis=0, return_inverse=True)
    at = at.reshape(-1)
    images = np.bincount(at[: len(synthetic)], minlength=len(vectors))
    _, who = np.unique(train.patients.astype(str), return_inverse=True)
    held = np.unique(np.stack([at[len(synthetic) :], who], axis=1), axis=0)
    patients = np.bincount(held[:, 0], minlength=len(vectors))
    rare = np.flatnonzero((images > 0) & (patients < settings.fewer_than))
    first = rare[np.lexsort((-images[rare], patients[rare]))][:LISTED]
    return Rare(
        fewer_than=settings.fewer_than,
        vectors=len(rare),
        synthetic=int(images[rare].sum()),
        listed=tuple(
            (tuple(_words(vectors[i], names)), int(patients[i]), int(images[i])) for i in first
        ),
    )


def _words(vector: Labels, names: Sequence[str]) -> Iterator[str]:
    yield from (name for name, label in zip(names, vector, strict=True) if label == 1)
    yield from (
        f"{name} (unknown)" for name, label in zip(names, vector, strict=True) if label == -1
    )
