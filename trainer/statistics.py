"""Whether one arm's AUC differs from another's, with intervals that a sceptic believes.

Two things vary from one experiment to the next: the patients of the test set and the seeds of the
training. The model is that of readers and cases in a fully crossed study: the AUC of a seed is the
arm's own plus an effect of the patients, of the seed, and of both at once. Resampling patients and
seeds together counts the last one twice and shrinks the seeds' part by (S - 1)/S (Gallas et al.
2009, Commun. Stat. A 38, 2586; Owen 2007, Ann. Appl. Stat. 1, 386). So a resample is here the mean
over seeds on resampled patients, plus a normal draw with the unbiased variance of the seeds' own
part. Seeds of two arms count as independent. With one seed only patients vary, and nothing is said
of other seeds.

The interval of a difference is the expanded percentile one (Hesterberg 2015, Am. Stat. 69, 371):
percentiles at the levels where Student's t has 2.5 %, for a few positives or seeds know their own
variance badly. The degrees of freedom are Satterthwaite's, as in Hillis 2007 (Stat. Med. 26, 596),
and of the seeds' part not more than if all seeds varied alike: that two of them hardly differ is
luck more often than not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, t

from trainer.bootstrap import ArmAucs, Floats
from trainer.order import random_words

LEVEL = 0.05  # of a verdict; intervals are of 1 - LEVEL
FEWEST = 5  # resamples beyond a percentile that is read off; farther out it is stretched
MIN_POSITIVES = 10

Verdict = Literal["helped", "hurt", "no evidence", "one seed", "no verdict"]
NO_VERDICT: Verdict = "no verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An AUC or a difference of two, its 95 % interval, and a test of no effect.

    All but `value` are nan where patients cannot tell: one of them has all positives or negatives.
    """

    value: float
    low: float
    high: float
    p: float  # two-sided, of an AUC of 0.5 or a difference of 0
    error: float  # standard error, of patients and seeds
    seed_share: float  # of error², what the seeds add; 0 with one seed
    degrees: float  # of freedom


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What the seeds of an arm add."""

    moved: Floats  # [R], deviation from the value, in each resample
    variance: float
    doubt: float  # variance² over its degrees of freedom, for Satterthwaite


def estimate(arm: ArmAucs, pathology: int, *, seed: int) -> Estimate:
    """The AUC of an arm: the mean over its seeds.

    Its interval is Student's t on the logit (Pepe 2003, ch. 5): near 1 the percentiles are too
    high. An AUC of just 0 or 1, or one that no resample moves, has none.
    """
    found = _estimate([(1, arm)], pathology, seed)
    if not (0 < found.value < 1 and found.error > 0):
        return replace(found, low=np.nan, high=np.nan, p=np.nan)
    middle, error = logit(found.value), found.error / (found.value * (1 - found.value))
    reach = t.ppf(1 - LEVEL / 2, found.degrees) * error
    return replace(
        found,
        low=float(expit(middle - reach)),
        high=float(expit(middle + reach)),
        p=float(2 * t.sf(abs(middle) / error, found.degrees)),
    )


def difference(arm: ArmAucs, control: ArmAucs, pathology: int, *, seed: int) -> Estimate:
    """The AUC of an arm less its control's, on the same images and resamples.

    p is the level at which the interval would end at 0 (Efron & Tibshirani 1993, ch. 15.4), with
    one added to the resamples beyond 0 and to all (Davison & Hinkley 1997, ch. 4). Where no
    resample is beyond 0 they only say that it is small; how small, Student's t does.
    """
    same = arm.resampled.shape[1:] == control.resampled.shape[1:]
    if not same or not np.array_equal(arm.patients, control.patients):
        raise ValueError(f"{arm.name} and {control.name} are not of the same images and resamples.")
    if arm.name == control.name:
        raise ValueError(f"Two arms are called {arm.name!r}: they would draw the same seeds.")
    return _estimate([(1, arm), (-1, control)], pathology, seed)


def holm(p: Floats) -> Floats:
    """p-values [T] adjusted for T tests (Holm 1979, Scand. J. Stat. 6, 65); nan is no test."""
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]  # nan sorts last
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def verdict(found: Estimate, adjusted_p: float, *, seeds: int) -> Verdict:
    """What to say of a difference whose p is adjusted for all targets.

    An effect needs both: the interval without 0, and the adjusted p at most 0.05. With one seed in
    an arm it is an effect of that training, and no more is said of it. Without p there is none.
    """
    if np.isnan(adjusted_p):
        return NO_VERDICT
    if not (adjusted_p <= LEVEL and (found.low > 0 or found.high < 0)):
        return "no evidence"
    if seeds < 2:
        return "one seed"
    return "helped" if found.low > 0 else "hurt"


def _estimate(arms: Sequence[tuple[int, ArmAucs]], pathology: int, seed: int) -> Estimate:
    """The signed sum of the arms' means over seeds, its percentiles and its test against 0."""
    value = float(sum(sign * arm.auc[:, pathology].mean() for sign, arm in arms))
    patients = int(arms[0][1].patients[pathology])
    drawn = np.array([sign * arm.resampled[:, pathology].mean(axis=0) for sign, arm in arms])
    valid = np.isfinite(drawn.sum(axis=0))  # a resample may miss a class
    if patients < 2 or valid.sum() < 2:
        return Estimate(value=value, **dict.fromkeys(Estimate.__slots__[1:], np.nan))
    seeds = [_seeds(sign, arm, pathology, seed) for sign, arm in arms]
    moved = drawn.sum(axis=0) - value
    variance = float(moved[valid].var())
    degrees = _degrees(variance, patients - 1, seeds, [len(arm.auc) for _, arm in arms])
    moved = (moved + sum(part.moved for part in seeds))[valid]
    total = variance + sum(part.variance for part in seeds)
    low, high = np.clip(value + _ends(moved, degrees), -1.0, 1.0)
    return Estimate(
        value=value,
        low=float(low),
        high=float(high),
        p=_p(value + moved, value, float(np.sqrt(total)), degrees),
        error=float(np.sqrt(total)),
        seed_share=(total - variance) / total if total else 0.0,
        degrees=degrees,
    )


def _degrees(
    variance: float, patients: int, seeds: Sequence[_Part], counts: Sequence[int]
) -> float:
    """Of freedom, of the patients' variance and that of so many seeds of each arm together."""
    added, doubt = sum(part.variance for part in seeds), sum(part.doubt for part in seeds)
    if not doubt:
        return float(patients)
    several = np.array([count for count in counts if count > 1], float)
    alike = (1 / several).sum() ** 2 / (1 / (several**2 * (several - 1))).sum()
    own = min(added**2 / doubt, alike)
    return float((variance + added) ** 2 / (variance**2 / patients + added**2 / own))


def _ends(moved: Floats, degrees: float) -> Floats:
    """[2]: how far the ends of the interval are from the value."""
    reach = t.ppf(1 - LEVEL / 2, degrees)
    read = min(reach, norm.ppf(max(0.9, 1 - FEWEST / len(moved))))
    return np.quantile(moved, (norm.cdf(-read), norm.cdf(read))) * (reach / read)


def _seeds(sign: int, arm: ArmAucs, pathology: int, seed: int) -> _Part:
    """What an arm's seeds add to the mean over them: nothing where there is one.

    Their AUCs differ by the seeds and by how each fares with these patients; the second is in the
    patients' part already and is subtracted (as Gallas 2006, Acad. Radiol. 13, 353, does). The
    rest is drawn as normal: the mean of five values drawn of five has too short tails.
    """
    auc, resampled = arm.auc[:, pathology], arm.resampled[:, pathology]
    seeds, resamples = resampled.shape
    spread = float(auc.var(ddof=1)) if seeds > 1 else 0.0
    apart = resampled - resampled.mean(axis=0)
    own = max(0.0, spread - float(np.nanvar(apart, axis=1).sum()) / max(1, seeds - 1))
    words = random_words(resamples, "seeds", arm.name, seed)
    normal = norm.ppf((words // 2**11 + 0.5) / 2**53)  # 53 bits: never 0 or 1
    return _Part(
        moved=sign * np.sqrt(own / seeds) * normal,
        variance=own / seeds,
        doubt=(spread / seeds) ** 2 / (seeds - 1) if own else 0.0,
    )


def _p(resampled: Floats, value: float, error: float, degrees: float) -> float:
    """The two-sided p-value of 0, of resamples of a figure that would be 0."""
    beyond = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    tail = min(0.5, (1 + beyond) / (1 + len(resampled)))
    p = float(2 * t.cdf(norm.ppf(tail), degrees))
    return p if beyond or not error else min(p, float(2 * t.sf(abs(value) / error, degrees)))
