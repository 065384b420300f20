"""Images that a rendered set holds twice, exactly or nearly, across all its shards."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from builder.checks.similarity import Thumbs, correlations, reductions, thumbs
from builder.contract import Bytes

# Correlation of the reductions. Among 2,043 NIH radiographs of 961 patients, no images of two
# patients reach 0.974, and one in a thousand pairs of one patient passes 0.98; an image and itself
# with noise of 10 grey levels have 0.999.
MIN_SIMILARITY = 0.99


def duplicates(blocks: Iterable[tuple[Sequence[str], Bytes]]) -> frozenset[str]:
    """The keys of images that are similar to an earlier one which is not itself a duplicate.

    `blocks` are (keys, images uint8 [N, H, W]) in order; the result does not depend on the cuts.
    """
    kept: list[Thumbs] = []
    found: set[str] = set()
    for keys, images in blocks:
        small = thumbs(reductions(images))
        known = np.zeros(len(images), dtype=np.bool_)
        for earlier in kept:
            known |= (correlations(small, earlier) > MIN_SIMILARITY).any(axis=1)
        own = _first_of_each(small, known)
        kept.append(small[own])
        found.update(key for key, is_own in zip(keys, own.tolist(), strict=True) if not is_own)
    return frozenset(found)


def _first_of_each(small: Thumbs, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which images are similar to none known and to none before them that is kept."""
    similar = correlations(small, small) > MIN_SIMILARITY
    own = ~known
    for place in np.flatnonzero(np.triu(similar, 1).any(axis=0)):
        own[place] &= not (similar[place, :place] & own[:place]).any()
    return own
