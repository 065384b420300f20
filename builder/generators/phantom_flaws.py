"""Phantoms that are wrong in a known way, to see that a verdict notices.

`shuffled` deals CheXpert's names anew for every image, so its labels say nothing about which of
their signs it shows, only how many. `few` shows the right findings, each always in one of a few
places on one of a few bodies, as a generator that has collapsed does.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from builder.generators.phantom_body import Plane

FEW = 4  # different latents
NAMES = 14  # CheXpert's, which stand first; signs of other tables would give the images away

Flaw = Callable[[Plane, Plane], tuple[Plane, Plane]]


def shuffled(latents: Plane, labels: Plane) -> tuple[Plane, Plane]:
    """The same latents, and the first NAMES labels [B, L] of each image in an order of its own.

    The order is that of as many of the image's latents: a function of its own row alone, any one as
    likely as any other.
    """
    order = np.argsort(latents[:, -NAMES:], axis=1, kind="stable")
    dealt = np.take_along_axis(labels[:, :NAMES], order, axis=1)
    return latents, np.concatenate([dealt, labels[:, NAMES:]], axis=1)


def few(latents: Plane, labels: Plane) -> tuple[Plane, Plane]:
    """One of FEW fixed latents for each row, by its own first ones, and the same labels."""
    fixed = np.random.default_rng(FEW).standard_normal((FEW, latents.shape[1]), np.float32)
    kept: NDArray[np.int64] = latents[:, :FEW].argmax(axis=1)
    return fixed[kept], labels


FLAWS: dict[str, Flaw] = {"shuffled": shuffled, "few": few}
