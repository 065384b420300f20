"""Whether one arm's AUC differs from another's, with intervals that a sceptic believes.

Two things vary from one experiment to the next: the patients in the test set and the seeds of the
training. The model is that of readers and cases in radiology (Obuchowski & Rockette 1995, Commun.
Stat. B 24, 285), with readers, here seeds, of one modality each (Hillis 2014, Stat. Med. 33, 330):
the AUC of a seed is the arm's own plus an effect of the patients, of the seed, and of both at once.
The seeds' spread holds the last two. Resampled patients hold the first and the last, so the last is
taken out there, and what is left is not below 0. Where seeds happen to be more alike than that, an
interval is narrower than one of patients alone.

Two seeds are too few to know their spread: where an arm has two, one spread of logits is taken for
all arms, of all their seeds together. With one seed only patients vary, and nothing is said of
other seeds.

The degrees of freedom are Satterthwaite's, as in Hillis 2007 (Stat. Med. 26, 596), of the patients'
and the seeds' parts. The interval of a difference is the expanded percentile one (Hesterberg
2015, Am. Stat. 69, 371): percentiles at the levels where Student's t has 2.5 %, because few
positives or seeds estimate their own variance badly. They are percentiles of the resamples, widened
by a normal draw for the variance that seeds add, or narrowed by the variance that they take.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, t

from trainer.evaluate.bootstrap import ArmAucs, Floats
from trainer.stream.order import random_words

LEVEL = 0.05  # of a verdict; intervals are of 1 - LEVEL
MIN_TAIL_RESAMPLES = 5  # beyond a percentile that is read off; farther out it is stretched
MIN_POSITIVES = 10

Verdict = Literal["helped", "hurt", "no evidence", "one seed", "no verdict"]
NO_VERDICT: Verdict = "no verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An AUC or a difference of two, its 95 % interval, and a test of no effect.

    All but `value` are nan where patients cannot tell: one patient has all positives or all
    negatives, or neither patients nor seeds change the value.
    """

    value: float
    low: float
    high: float
    p: float  # two-sided, of an AUC of 0.5 or a difference of 0
    error: float  # standard error, of patients and seeds
    seed_share: float  # of error², what seeds add to the patients'; 0 with one, or if they do not
    degrees: float  # of freedom

    @classmethod
    def undefined(cls, value: float) -> "Estimate":
        """A value of which patients and seeds cannot tell the spread."""
        nan = np.nan
        return cls(value=value, low=nan, high=nan, p=nan, error=nan, seed_share=nan, degrees=nan)


def estimate(arm: ArmAucs, pathology: int, *, pooled_with: Sequence[ArmAucs] = ()) -> Estimate:
    """The AUC of an arm: the mean over its seeds.

    The arms `pooled_with` it, on the same images and resamples, matter where it has two seeds. The
    interval is Student's t on the logit (Pepe 2003, ch. 5): near 1 the percentiles are too high. An
    AUC of just 0 or 1, or one that no resample moves, has none.
    """
    found = _estimate([(1, arm)], pathology, pooled_with)
    if not (0 < found.value < 1 and found.error > 0):
        return replace(found, low=np.nan, high=np.nan, p=np.nan)
    middle, error = logit(found.value), found.error / (found.value * (1 - found.value))
    half_width = t.ppf(1 - LEVEL / 2, found.degrees) * error
    return replace(
        found,
        low=float(expit(middle - half_width)),
        high=float(expit(middle + half_width)),
        p=float(2 * t.sf(abs(middle) / error, found.degrees)),
    )


def difference(
    arm: ArmAucs, control: ArmAucs, pathology: int, *, pooled_with: Sequence[ArmAucs] = ()
) -> Estimate:
    """The AUC of an arm minus its control's, on the same images and resamples.

    The arms `pooled_with` them matter where one of the two has two seeds. A difference that neither
    resamples nor seeds move has no interval, unless it is 0.

    p is the level at which the interval would end at 0 (Efron & Tibshirani 1993, ch. 15.4), with
    one added to the resamples beyond 0 and to all (Davison & Hinkley 1997, ch. 4). Where no
    resample is beyond 0 they only say that it is small; how small, Student's t does.
    """
    return _estimate([(1, arm), (-1, control)], pathology, pooled_with)


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


def _estimate(
    arms: Sequence[tuple[int, ArmAucs]], pathology: int, pooled_with: Sequence[ArmAucs]
) -> Estimate:
    """The signed sum of the arms' means over seeds, its percentiles and its test against 0."""
    own = [arm for _, arm in arms]
    every = list({id(arm): arm for arm in (*own, *pooled_with)}.values())
    first = own[0]
    for other in every:
        same = other.resampled.shape[1:] == first.resampled.shape[1:]
        if not same or not np.array_equal(other.patients, first.patients):
            raise ValueError("The arms are not of the same images and resamples.")
    value = float(sum(sign * arm.auc[:, pathology].mean() for sign, arm in arms))
    patients = int(first.patients[pathology])
    drawn = sum(sign * arm.resampled[:, pathology].mean(axis=0) for sign, arm in arms)
    deviations = drawn[np.isfinite(drawn)] - value  # a resample may miss a class
    if patients < 2 or len(deviations) < 2:
        return Estimate.undefined(value)
    variance = float(deviations.var())
    seeds, interaction, variance_df = _seeds(own, pathology, every)
    patient_variance = max(0.0, variance - interaction)
    total = patient_variance + seeds
    if value and not total:
        return Estimate.undefined(value)
    variance_df += patient_variance**2 / (patients - 1)
    degrees = total**2 / variance_df if variance_df else float(patients - 1)
    error = float(np.sqrt(total))
    deviations = _with_seeds(deviations, variance, total)
    low, high = np.clip(value + _ends(deviations, degrees), -1.0, 1.0)
    return Estimate(
        value=value,
        low=float(low),
        high=float(high),
        p=_p(value + deviations, value, error, degrees),
        error=error,
        seed_share=max(0.0, total - variance) / total if total else 0.0,
        degrees=degrees,
    )


def _with_seeds(deviations: Floats, variance: float, total: float) -> Floats:
    """Deviations [R] of that variance, or [2 R] where the seeds add to it.

    What they add is normal and symmetric, so that swapping arm and control changes only the sign.
    """
    if total <= variance:
        return deviations * np.sqrt(total / variance) if variance else deviations
    order = np.argsort(random_words(len(deviations), "seeds"))
    drawn = np.sqrt(total - variance) * norm.ppf((order + 0.5) / len(deviations))
    return np.concatenate([deviations + drawn, deviations - drawn])


def _ends(deviations: Floats, degrees: float) -> Floats:
    """[2]: how far the ends of the interval are from the value."""
    half_width = t.ppf(1 - LEVEL / 2, degrees)
    read = min(half_width, norm.ppf(max(0.9, 1 - MIN_TAIL_RESAMPLES / len(deviations))))
    return np.quantile(deviations, (norm.cdf(-read), norm.cdf(read))) * (half_width / read)


def _seeds(
    arms: Sequence[ArmAucs], pathology: int, every: Sequence[ArmAucs]
) -> tuple[float, float, float]:
    """The seeds' variance of the sum of the means, the patients' part in it, `variance_df`.

    The patients' part is how each seed fares with them. `variance_df` is the variance² over its
    degrees of freedom, for Satterthwaite. All are 0 with one seed each.
    """
    arms, every = ([arm for arm in some if _slope(arm, pathology)] for some in (arms, every))
    several = [arm for arm in arms if len(arm.auc) > 1]
    two = any(len(arm.auc) == 2 for arm in several)
    groups = [(several, every)] if two else [([arm], [arm]) for arm in several]
    variance = interaction = variance_df = 0.0
    for members, known_from in groups:
        share = sum(_slope(arm, pathology) ** 2 / len(arm.auc) for arm in members)
        degrees = sum(len(arm.auc) - 1 for arm in known_from)
        spread, both = np.sum([_squares(arm, pathology) for arm in known_from], axis=0) / degrees
        variance += float(share * spread)
        interaction += float(share * both)
        variance_df += float((share * spread) ** 2 / degrees)
    return variance, interaction, variance_df


def _squares(arm: ArmAucs, pathology: int) -> tuple[float, float]:
    """Sums of squares of the seeds about their mean: of the AUCs, and of what patients do to it.

    Both of logits, by the delta method. The second is the seeds' deviations in a resample about
    their own mean, averaged over resamples.
    """
    auc, resampled = arm.auc[:, pathology], arm.resampled[:, pathology]
    slope = _slope(arm, pathology)
    apart = (resampled - resampled.mean(axis=0)) / slope
    squares = ((auc - auc.mean()) / slope) ** 2
    return float(squares.sum()), float(np.nanvar(apart, axis=1).sum())


def _slope(arm: ArmAucs, pathology: int) -> float:
    """Of the mean AUC over its logit; 0 where all seeds are perfect or wrong, and tell nothing."""
    mean = float(arm.auc[:, pathology].mean())
    return mean * (1 - mean)


def _p(resampled: Floats, value: float, error: float, degrees: float) -> float:
    """The two-sided p-value of 0, of resamples of a figure that would be 0."""
    beyond = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    tail = min(0.5, (1 + beyond) / (1 + len(resampled)))
    p = float(2 * t.cdf(norm.ppf(tail), degrees))
    return p if beyond or not error else min(p, float(2 * t.sf(abs(value) / error, degrees)))
