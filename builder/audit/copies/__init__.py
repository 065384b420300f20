"""Synthetic images and training images → suspected copies, and what the detector finds and misses.

`shortlist` picks training images by coarse waves, in several views of the synthetic one; `align`
finds shift, zoom and rotation; `compare` correlates three bands; `threshold` says from where on
that is suspect, by real images of other patients; `planted` makes copies to count what is found.
"""

import numpy as np
import numpy.typing as npt

from builder.audit.chance import some
from builder.audit.copies.compare import Found, search, search_repeats, searched
from builder.audit.copies.planted import plant
from builder.audit.copies.threshold import (
    PATIENTS,
    Threshold,
    accused_of,
    can_judge,
    threshold_of,
)
from builder.audit.pictures import Pictures
from builder.audit.settings import Settings
from builder.audit.wording import count
from builder.contract.audit import Copies, Planted, Suspect
from builder.progress import Progress

PLANTED = 100  # copies of each kind
LISTED = 100  # suspects, at most
FEW = 20  # real images of a side that it takes to look for copies and for nearness

Keys = npt.NDArray[np.object_]


def too_few(train: Pictures, held_out: Pictures, settings: Settings) -> str:
    """Why there are too few real images for copies and nearness, in one sentence; "" if enough.

    A threshold by images of hardly any patient would accuse nobody, or everybody.
    """
    sides = [(len(side), len(np.unique(side.patients.astype(str)))) for side in (train, held_out)]
    few = any(images < FEW or patients < PATIENTS for images, patients in sides)
    if not few and can_judge(_null(held_out, settings).patients):
        return ""
    train_has, held_out_has = (f"{n:,} of {count(patients, 'patient')}" for n, patients in sides)
    return (
        f"Copies and nearness were not looked for: that takes at least {FEW} training and {FEW} "
        f"held-out real images, {PATIENTS} patients on each side, and none with most images; "
        f"there are {train_has}, and {held_out_has}."
    )


def judge_copies(
    synthetic: Pictures, train: Pictures, held_out: Pictures, settings: Settings, show: Progress
) -> Copies:
    """Suspected copies of training images among all synthetic ones, and repeats among these.

    The threshold is set by held-out images, which must be of other patients than the training
    images; of at most `settings.sample` of them. They must not be `too_few`, and should be some
    hundreds: with a few dozen the threshold is so high that `planted` says how little is found.
    Memory grows by about 500 bytes for each image; time with synthetic times training images.
    """
    null = _null(held_out, settings)
    copied = plant(train.reduced, PLANTED, settings.seed)
    total = len(null) + len(synthetic) + sum(len(kind.images) for kind in copied)
    with show("looking for copies", total) as advance:
        among = searched(train.reduced)
        honest = search(null.reduced, among, advance).fisher_z
        threshold = threshold_of(honest, settings.accused)
        planted = [
            Planted(
                kind=kind.kind,
                planted=len(kind.images),
                found=int(_suspect(search(kind.images, among, advance), threshold).sum()),
            )
            for kind in copied
        ]
        found = search(synthetic.reduced, among, advance)
    with show("looking for repeats", len(synthetic)) as advance:
        repeats = search_repeats(searched(synthetic.reduced), advance)
    return Copies(
        threshold=threshold.value,
        synthetic=len(synthetic),
        train=len(train),
        held_out=len(null),
        accused=accused_of(honest, null.patients, settings.accused),
        suspects=int(_suspect(found, threshold).sum()),
        listed=_listed(found, threshold, synthetic.keys, train.keys),
        planted=tuple(planted),
        duplicates=int(_suspect(repeats, threshold).sum()),
        duplicates_listed=_listed(repeats, threshold, synthetic.keys, synthetic.keys),
    )


def _null(held_out: Pictures, settings: Settings) -> Pictures:
    """The held-out images that set the threshold."""
    return held_out.take(some(len(held_out), settings.sample, settings.seed, "copies"))


def _suspect(found: Found, threshold: Threshold) -> npt.NDArray[np.bool_]:
    suspect: npt.NDArray[np.bool_] = (
        threshold.similarity(found.fisher_z).max(axis=1) > threshold.value
    )
    return suspect


def _listed(found: Found, threshold: Threshold, keys: Keys, others: Keys) -> tuple[Suspect, ...]:
    """The most similar first; equal ones in the order of the images."""
    similarity = threshold.similarity(found.fisher_z)
    largest, which = similarity.max(axis=1), similarity.argmax(axis=1)
    order = np.argsort(-largest, kind="stable")[:LISTED]
    return tuple(
        Suspect(
            key=str(keys[i]),
            of=str(others[found.rows[i, which[i]]]),
            similarity=float(largest[i]),
        )
        for i in order
        if largest[i] > threshold.value
    )
