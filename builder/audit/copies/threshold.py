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

_BOUND = 1.645  # standard errors
_FARTHEST = 6.0  # medians; 1.6 % of an exponential tail lie beyond
_LEAST_SPREAD = 0.02  # of atanh of correlations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Threshold:
    """What similarity is measured by, and from where on it is suspect."""

    usual: Reals  # [bands], atanh of correlations
    spread: Reals  # [bands]
    value: float

    def similarity(self, alike: Floats) -> Reals:
        """float64 [n, k] of atanh of correlations [n, k, bands]; −inf where there is no pair."""
        return _similarity(alike, self.usual, self.spread)


def threshold_of(alike: Floats, accused: float) -> Threshold:
    """The threshold that a share `accused` of images such as the held-out ones [n, k, b] passes."""
    usual, spread = _usual(alike)
    largest = np.sort(_similarity(alike, usual, spread).max(axis=1))[::-1]
    tail = min(max(TAIL_IMAGES, round(TAIL * len(largest))), len(largest) - 1)
    start = largest[tail]
    excess = largest[:tail] - start
    excess = np.minimum(excess, _FARTHEST * np.median(excess))
    length = excess.mean() * (1 + _BOUND / np.sqrt(tail))
    beyond = max(0.0, np.log(tail / (len(largest) * accused)))
    return Threshold(usual=usual, spread=spread, value=float(start + length * beyond))


def accused_of(alike: Floats, patients: npt.NDArray[np.object_], accused: float) -> int:
    """How many held-out images pass the threshold that those of the other patients set.

    Patients are dealt into FOLDS parts in the order in which they appear.
    """
    _, first, patient = np.unique(patients.astype(str), return_index=True, return_inverse=True)
    fold = (np.argsort(np.argsort(first)) % FOLDS)[patient]
    total = 0
    for part in np.unique(fold):
        threshold = threshold_of(alike[fold != part], accused)
        similarity = threshold.similarity(alike[fold == part]).max(axis=1)
        total += int((similarity > threshold.value).sum())
    return total


def _similarity(alike: Floats, usual: Reals, spread: Reals) -> Reals:
    similarity: Reals = ((alike - usual) / spread).max(axis=2)
    return similarity


def _usual(alike: Floats) -> tuple[Reals, Reals]:
    """Median and spread [bands] of each image's most alike pair; quartiles, so that a few images
    that are in both sets count for little.
    """
    low, usual, high = np.quantile(alike.max(axis=1).astype(np.float64), [0.25, 0.5, 0.75], axis=0)
    return usual, np.maximum((high - low) / 1.349, _LEAST_SPREAD)
