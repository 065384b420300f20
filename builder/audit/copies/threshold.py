"""From which similarity on an image is suspected: what real images of other patients hardly reach.

Held-out images are compared with the training images as synthetic ones are. In each band the most
alike pair of a held-out image has a usual correlation and a spread. Similarity is how many spreads
above the usual a pair lies, in the band where that is most. The threshold is a quantile so far out
that it has to be extrapolated: the largest 5 % of the held-out similarities are taken to fall as an
exponential does, which is cautious where they fall faster, with the upper 95 % bound of its length.
With few held-out images that bound is wide and the threshold high. What lies very far out counts as
a little less far: it may be an image that is in both sets under two patients' names.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.audit.copies.geometry import Floats, Reals

TAIL = 0.05  # share of the held-out images that the tail is of
TAIL_IMAGES = 10  # that it is of at least
FOLDS = 5
PATIENTS = 10  # at least, who judge each other

_BOUND = 1.645  # standard errors
_FARTHEST = 6.0  # medians; 1.6 % of an exponential tail lie beyond
_LEAST_SPREAD = 0.02  # of atanh of correlations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Threshold:
    """What similarity is measured by, and from where on it is suspect."""

    usual: Reals  # [bands], atanh of correlations
    spread: Reals  # [bands]
    value: float

    def similarity(self, fisher_z: Floats) -> Reals:
        """float64 [n, k] of Fisher's z [n, k, bands]; −inf where there is no pair."""
        return _similarity(fisher_z, self.usual, self.spread)


def threshold_of(fisher_z: Floats, accused: float) -> Threshold:
    """The threshold that a share `accused` of images such as the held-out ones [n, k, b] passes."""
    usual, spread = _usual(fisher_z)
    largest = np.sort(_similarity(fisher_z, usual, spread).max(axis=1))[::-1]
    tail = min(max(TAIL_IMAGES, round(TAIL * len(largest))), len(largest) - 1)
    start = largest[tail]
    excess = largest[:tail] - start
    excess = np.minimum(excess, _FARTHEST * np.median(excess))
    length = excess.mean() * (1 + _BOUND / np.sqrt(tail))
    beyond = max(0.0, np.log(tail / (len(largest) * accused)))
    return Threshold(usual=usual, spread=spread, value=float(start + length * beyond))


def can_judge(patients: npt.NDArray[np.object_]) -> bool:
    """Whether held-out images of these patients are enough to judge each other by `accused_of`.

    They are of PATIENTS at least, and whichever part is judged, the others have enough for a tail.
    """
    if len(np.unique(patients.astype(str))) < PATIENTS:
        return False
    return len(patients) - int(np.bincount(_parts(patients)).max()) > TAIL_IMAGES


def accused_of(fisher_z: Floats, patients: npt.NDArray[np.object_], accused: float) -> int:
    """How many held-out images pass the threshold that those of the other patients set.

    They must be enough: `can_judge` is asked first.
    """
    assert can_judge(patients), "a threshold by hardly any image is no number"
    parts = _parts(patients)
    total = 0
    for part in np.unique(parts):
        threshold = threshold_of(fisher_z[parts != part], accused)
        similarity = threshold.similarity(fisher_z[parts == part]).max(axis=1)
        total += int((similarity > threshold.value).sum())
    return total


def _parts(patients: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """int64 [N] below FOLDS: patients are dealt in the order in which they appear."""
    _, first, patient = np.unique(patients.astype(str), return_index=True, return_inverse=True)
    dealt: npt.NDArray[np.int64] = (np.argsort(np.argsort(first)) % FOLDS)[patient]
    return dealt


def _similarity(fisher_z: Floats, usual: Reals, spread: Reals) -> Reals:
    similarity: Reals = ((fisher_z - usual) / spread).max(axis=2)
    return similarity


def _usual(fisher_z: Floats) -> tuple[Reals, Reals]:
    """Median and spread [bands] of each image's most alike pair; quartiles, so that a few images
    that are in both sets count for little.
    """
    low, usual, high = np.quantile(
        fisher_z.max(axis=1).astype(np.float64), [0.25, 0.5, 0.75], axis=0
    )
    return usual, np.maximum((high - low) / 1.349, _LEAST_SPREAD)
