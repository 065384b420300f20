"""Other figures than the AUC: average precision, calibration, sensitivity at a fixed specificity.

All are over the known labels [N] of one pathology, int8 in {1, 0, -1 = unknown}, and its
probabilities, float [N] in [0, 1]; nan where the labels do not decide the figure.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_curve

from builder.contract import Labels

BINS = 15  # of equal width, as in Guo et al. 2017
SPECIFICITY = 0.9  # at which reports give the sensitivity

Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What was predicted and what was found, per bin of probability; nan in a bin of none."""

    images: npt.NDArray[np.int64]  # [B]
    predicted: npt.NDArray[np.float64]  # [B], mean probability
    observed: npt.NDArray[np.float64]  # [B], share of positives

    @property
    def error(self) -> float:
        """The expected calibration error in [0, 1]: the gap's mean over images; nan for none.

        Naeini et al. 2015 for the probability of the positive class, not of the likelier one.
        """
        total = int(self.images.sum())
        gap = np.abs(self.predicted - self.observed)
        return float(np.nansum(gap * self.images) / total) if total else float("nan")


def average_precision(labels: Labels, probabilities: Probabilities) -> float:
    """The area under the precision-recall curve as steps (sklearn's), nan without a positive."""
    known = labels >= 0
    if not (labels == 1).any():
        return float("nan")
    return float(average_precision_score(labels[known], probabilities[known]))


def reliability(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> Reliability:
    """The reliability diagram in `bins` bins of equal width; 0 lies in the first of them."""
    known = labels >= 0
    found = probabilities[known].astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    # A bin has its upper edge, as in Guo.
    place = np.clip(np.searchsorted(edges, found, "left") - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, of, bins) for of in (found, labels[known] == 1))
    empty = np.full(bins, np.nan)
    predicted, observed = (np.divide(s, images, out=empty.copy(), where=images > 0) for s in sums)
    return Reliability(images=images, predicted=predicted, observed=observed)


def sensitivity_at(labels: Labels, probabilities: Probabilities, specificity: float) -> float:
    """The highest sensitivity of a threshold whose specificity is at least that asked.

    A threshold is one of the probabilities: no mixing of two. nan where a class is missing.
    """
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return float("nan")
    false, true, _ = roc_curve(labels[known], probabilities[known], drop_intermediate=False)
    return float(true[1 - false >= specificity - 1e-12].max())  # 1 - 0.1 is a hair under 0.9


def roc(labels: Labels, probabilities: Probabilities, points: int = 101) -> npt.NDArray[np.float64]:
    """The sensitivity at `points` evenly spaced false positive rates from 0 to 1.

    Curves of several seeds are averaged there (Fawcett 2006, vertical averaging). ValueError where
    a class is missing.
    """
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        raise ValueError("A ROC curve needs positives and negatives.")
    false, true, _ = roc_curve(labels[known], probabilities[known])
    return np.asarray(np.interp(np.linspace(0, 1, points), false, true))
