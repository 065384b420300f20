"""How well two kinds of image can be told apart by their features, with an interval.

The probe is a logistic regression that scores each patient's images without having seen any image
of that patient. An interval is the percentile bootstrap of patients, each with all its images, for
images of one patient are not independent; a synthetic image counts as a patient of its own.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.audit.blockwise import one_core
from builder.audit.chance import resamples as drawn
from builder.audit.chance import shuffled
from builder.contract.audit import Interval
from builder.contract.cores import usable_cores

FOLDS = 5
PENALTY = 0.01  # scikit-learn's C: small, since there may be as many features as images
_CELLS = 2**20  # weights of images in resamples that are held at once

Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]
Features = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Fitted = Callable[[Features], Scores]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Auc:
    """An AUC, and what it is in every resample of the patients."""

    value: float
    resampled: Scores  # [R]; nan where a resample lacks one of the kinds

    def crossed(self) -> "Auc":
        """The same for scores that were cross-fitted: intervals are √2 as wide.

        Each pair of images counts twice there, once with either as the lesson of the other: for two
        sets of one kind the variance is twice that of independent scores. Where there is something
        to tell, such intervals are rather too wide than too narrow.
        """
        wider = self.value + np.sqrt(2) * (self.resampled - self.value)
        return Auc(value=self.value, resampled=np.clip(wider, 0, 1))

    def interval(self, level: float = 0.95) -> Interval:
        """The value with its percentile interval."""
        return spread(self.value, self.resampled, level)


def fitted(features: Features, positive: Mask) -> Fitted:
    """A function that scores features [n, D]: the log odds of being positive, classes balanced.

    Features are standardised by those that it is fitted to.
    """
    from sklearn.linear_model import LogisticRegression

    if not features.shape[1]:
        return lambda others: np.zeros(len(others))
    mean, deviation = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
    deviation = np.where(deviation > 1e-9, deviation, 1)
    regression = LogisticRegression(
        C=PENALTY, solver="newton-cholesky", class_weight="balanced", max_iter=100
    )
    regression.fit((features - mean) / deviation, positive)
    weights: Scores = regression.coef_[0] / deviation

    def scored(others: Features) -> Scores:
        # einsum: a product by BLAS could round otherwise with another number of rows
        return np.asarray(np.einsum("nd,d->n", others - mean, weights) + regression.intercept_)

    return scored


def principal(features: Features, count: int) -> Callable[[Features], Scores]:
    """A function that gives `count` principal components, or all, of features [n, D]."""
    mean = features.mean(axis=0, dtype=float)
    with one_core():
        moved = features - mean
        values, vectors = np.linalg.eigh(moved.T @ moved / len(features))
    axes = vectors[:, ::-1][:, : min(count, int((values > 1e-9).sum()))]

    def projected(others: Features) -> Scores:
        with one_core():
            return np.asarray((others - mean) @ axes)

    return projected


def cross_scores(features: Features, positive: Mask, patients: Names, seed: int = 0) -> Scores:
    """float64 [N]: each image's score by a probe that saw none of its patient's images.

    There must be several patients of each kind. Use `Auc.crossed` for an interval.
    """
    folds = folds_of(positive, patients, seed)
    scores = np.empty(len(features))

    def one(fold: int) -> None:
        mine = folds == fold
        assert 0 < positive[~mine].sum() < (~mine).sum(), "a fold lacks a kind"
        scores[mine] = fitted(features[~mine], positive[~mine])(features[mine])

    with one_core(), ThreadPoolExecutor(min(FOLDS, usable_cores())) as threads:
        list(threads.map(one, range(FOLDS)))
    return scores


def folds_of(positive: Mask, patients: Names, seed: int = 0) -> Rows:
    """int64 [N] below FOLDS: a patient's images share one, and each fold has its part of each kind.

    Patients are dealt in an order that the seed fixes: those with one kind, with the other, both.
    """
    _, who = np.unique(patients.astype(str), return_inverse=True)
    count = int(who.max()) + 1
    has = [np.bincount(who, weights=kind, minlength=count) > 0 for kind in (positive, ~positive)]
    order = shuffled(count, seed, "folds")
    order = order[np.argsort((has[0] + 2 * has[1].astype(np.int64))[order], kind="stable")]
    fold = np.empty(count, np.int64)
    fold[order] = np.arange(count) % FOLDS
    return fold[who]


def auc_of(
    scores: Scores,
    positive: Mask,
    patients: Names,
    *,
    resamples: int,
    seed: int,
    weights: Scores | None = None,
) -> Auc:
    """The AUC of the scores, equal ones counting one half; each kind must be there.

    A patient that is drawn twice weighs twice, so one sort serves all resamples. `weights` [N] say
    how much each image counts besides.
    """
    levels, at = np.unique(scores, return_inverse=True)
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(len(levels)))
    _, who = np.unique(patients.astype(str), return_inverse=True)
    who, own = who[order], np.ones(len(scores)) if weights is None else weights[order]
    up, down = own * positive[order], own * ~positive[order]
    times = drawn(int(who.max()) + 1, resamples, seed, "patients")
    step = max(1, _CELLS // len(scores))
    found = np.concatenate(
        [_shares(times[i : i + step][:, who], up, down, starts) for i in range(0, len(times), step)]
    )
    return Auc(value=float(found[0]), resampled=found[1:])


def spread(value: float, resampled: Scores, level: float = 0.95) -> Interval:
    """The value with the percentile interval of its resamples, those that are nan left out."""
    found = resampled[~np.isnan(resampled)]
    edges = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(found, edges) if len(found) else (value, value)
    return Interval(value=value, low=float(low), high=float(high))


def _shares(times: Scores, up: Scores, down: Scores, starts: Rows) -> Scores:
    """[R]: the share of pairs in the right order, of images in the order of their scores."""
    positives = np.add.reduceat(times * up, starts, axis=1)
    negatives = np.add.reduceat(times * down, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    wins = np.einsum("rl,rl->r", positives, below)
    shares = np.full(len(times), np.nan)
    np.divide(wins, pairs, out=shares, where=pairs > 0)
    return shares
