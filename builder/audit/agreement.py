"""Whether a classifier that learned from real images finds in synthetic ones what they are to show.

Within the synthetic images a target's positives are told from images that were made for other
targets. So are those of the held-out real images, which are weighted to hold the other targets as
often: otherwise a classifier that knows healthy chests well would find even perfect images wanting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from builder.audit.blockwise import one_core
from builder.audit.chance import shuffled, some
from builder.audit.features import Floats, features_of
from builder.audit.gradients import Gradients
from builder.audit.matching import labels_of
from builder.audit.pictures import Pictures
from builder.audit.probe import (
    Auc,
    Mask,
    Names,
    Rows,
    Scores,
    auc_of,
    cross_scores,
    fitted,
    principal,
    spread,
)
from builder.audit.settings import Settings
from builder.contract import Bytes, Labels
from builder.contract.audit import Agreement
from builder.progress import Progress

COMPONENTS = 128  # of the gradients, that the probe goes by
ENOUGH = 10  # images, at least, of each class, and patients that they are of


class Classifier(Protocol):
    """What scores images for pathologies."""

    @property
    def identity(self) -> str:
        """What it is, for the record."""

    @property
    def pathologies(self) -> Sequence[str]:
        """L names, in order."""

    def probabilities(self, images: Bytes) -> Floats:
        """float32 [n, L] of uint8 [n, H, W]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scored:
    """Images with their scores for each target that the classifier knows."""

    labels: Labels  # [N, T]
    scores: Scores  # [N, T], nan where it does not know the target
    patients: Names  # [N]
    crossed: bool = False  # scored by probes that were fitted to the others


def judge_agreement(
    synthetic: Pictures,
    train: Pictures,
    held_out: Pictures,
    *,
    settings: Settings,
    show: Progress,
    classifier: Classifier | None = None,
) -> tuple[tuple[Agreement, ...], tuple[str, ...]]:
    """The agreement of each target, and notes on targets that cannot be looked at.

    Without a classifier, a probe is fitted to real images, and scores those of each patient without
    having seen any of that patient. Images whose label is unknown are left out. A target disagrees
    where it is found in real images, and the AUC on synthetic ones is lower by more than the
    settings allow, at an error of 5 % for all targets in one. What a classifier without knowledge
    makes of synthetic images may be far from chance, for they are more uniform than real ones.
    """
    targets = synthetic.sealed.manifest.targets
    fakes = synthetic.take(some(len(synthetic), settings.sample, settings.seed, "synthetic"))
    if not targets or not len(fakes) or not len(train):
        return (), (
            "Agreement was not looked at: that takes targets, synthetic images and real training"
            " images.",
        )
    if classifier is None:
        name, scored = _probed(fakes, (train, held_out), targets, settings, show)
    else:
        name = classifier.identity
        reals = _with_targets(held_out, targets, settings, "held out")
        scored = [_seen(part, targets, classifier, show) for part in (fakes, reals)]
    found: list[Agreement] = []
    notes: list[str] = []
    for i, target in enumerate(targets):
        agreement, note = _agreement(target, i, name, scored, len(targets), settings)
        found += [agreement] if agreement else []
        notes += [note] if note else []
    return tuple(found), tuple(notes)


def _with_targets(
    real: Pictures, targets: Sequence[str], settings: Settings, name: str
) -> Pictures:
    """A sample of real images, half of it, if there are as many, of images that hold a target."""
    order = shuffled(len(real), settings.seed, name)
    holds = (labels_of(real, targets) == 1).any(axis=1)[order]
    first = order[holds][: max(settings.sample // 2, settings.sample - int((~holds).sum()))]
    rest = order[~holds][: settings.sample - len(first)]
    return real.take(np.sort(np.concatenate([first, rest])))


def _probed(
    fakes: Pictures,
    real: Sequence[Pictures],
    targets: Sequence[str],
    settings: Settings,
    show: Progress,
) -> tuple[str, list[_Scored]]:
    """The name of the probe, and its scores of synthetic and of real images."""
    gradients = Gradients()
    taught = [_with_targets(each, targets, settings, "taught") for each in real if len(each)]
    features = np.concatenate([features_of(gradients, each, show) for each in taught])
    reduce = principal(features, COMPONENTS)
    features, others = reduce(features), reduce(features_of(gradients, fakes, show))
    labels = np.concatenate([labels_of(each, targets) for each in taught])
    patients = np.concatenate([each.patients for each in taught])
    scores = [np.full((len(part), len(targets)), np.nan) for part in (others, features)]
    for i in range(len(targets)):
        known = labels[:, i] >= 0
        positive = labels[known, i] == 1
        if _enough(positive, patients[known]):
            with one_core():
                scores[0][:, i] = fitted(features[known], positive)(others)
            mine = cross_scores(features[known], positive, patients[known], settings.seed)
            scores[1][known, i] = mine
    name = f"logistic regression, {len(features):,} real images: {gradients.identity}"
    return name, [
        _Scored(labels=labels_of(fakes, targets), scores=scores[0], patients=fakes.patients),
        _Scored(labels=labels, scores=scores[1], patients=patients, crossed=True),
    ]


def _seen(
    pictures: Pictures, targets: Sequence[str], classifier: Classifier, show: Progress
) -> _Scored:
    names = list(classifier.pathologies)
    scores = np.full((len(pictures), len(targets)), np.nan)
    start = 0
    with show("classifier", len(pictures)) as advance:
        for block in pictures.blocks():
            seen = classifier.probabilities(block)
            for i, target in enumerate(targets):
                if target in names:
                    scores[start : start + len(block), i] = seen[:, names.index(target)]
            start += len(block)
            advance(len(block))
    labels = labels_of(pictures, targets)
    return _Scored(labels=labels, scores=scores, patients=pictures.patients)


def _enough(positive: Mask, patients: Names) -> bool:
    """Whether there are images and patients of each class."""
    people = (len(np.unique(patients[side].astype(str))) for side in (positive, ~positive))
    return min(int(positive.sum()), int((~positive).sum()), *people) >= ENOUGH


def _agreement(
    target: str, i: int, name: str, scored: Sequence[_Scored], targets: int, settings: Settings
) -> tuple[Agreement | None, str]:
    """The agreement on target `i`, and what is to be said of it; one of them may be missing."""
    fake, real = (_of_target(each, i) for each in scored)
    (positives, negatives), (real_positives, real_negatives) = (
        each.counts() for each in (fake, real)
    )
    if min(positives, negatives) < ENOUGH:
        return (
            None,
            f"{target} is not among the labels looked at: {_why_not(scored[0].labels[:, i])}.",
        )
    enough = _enough(real.positive, real.patients)
    seen = _auc(fake, None, settings, 1)
    known = _auc(real, _weights(real, fake), settings, 0) if enough else None
    if known and scored[1].crossed:
        known = known.crossed()
    tells = known is not None and known.interval().low > 0.5 + settings.agree
    lost = (
        None
        if known is None
        else spread(known.value - seen.value, known.resampled - seen.resampled, 1 - 0.05 / targets)
    )
    agreement = Agreement(
        target=target,
        classifier=name,
        synthetic=seen.interval(),
        real=known.interval() if known else None,
        positives=positives,
        negatives=negatives,
        real_positives=real_positives,
        real_negatives=real_negatives,
        tells=tells,
        disagrees=tells and lost is not None and lost.low > settings.agree,
    )
    if known is None:
        note = f"{target} has too few real images to say how well it can be found."
    elif not tells:
        note = (
            f"The classifier hardly finds {target} in real images, so how it does on synthetic ones"
            " says nothing: give one that was trained for longer or on more images."
        )
    else:
        note = ""
    return agreement, note


def _why_not(labels: Labels) -> str:
    """Why a target with these labels of synthetic images cannot be looked at."""
    having, lacking = int((labels == 1).sum()), int((labels == 0).sum())
    if min(having, lacking) >= ENOUGH:
        return "the classifier was not trained for it, or there are too few real images with it"
    return (
        f"there are too few synthetic images with or without it ({having:,} and {lacking:,}, and "
        f"it takes {ENOUGH} of each)"
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Target:
    """Images that are known to have, or not to have, one target."""

    positive: Mask  # [n]
    scores: Scores  # [n]
    patients: Names  # [n]
    other: Rows  # [n]: the first other target that an image holds; -1 for none

    def counts(self) -> tuple[int, int]:
        """Positives and negatives."""
        return int(self.positive.sum()), int((~self.positive).sum())


def _of_target(scored: _Scored, i: int) -> _Target:
    known = (scored.labels[:, i] >= 0) & ~np.isnan(scored.scores[:, i])
    labels = scored.labels[known]
    holds = labels == 1
    holds[:, i] = False
    return _Target(
        positive=labels[:, i] == 1,
        scores=scored.scores[known, i],
        patients=scored.patients[known],
        other=np.where(holds.any(axis=1), holds.argmax(axis=1), -1),
    )


def _weights(real: _Target, fake: _Target) -> Scores:
    """float64 [n]: with them, real negatives hold the other targets as often as synthetic ones.

    All ones where fewer than ENOUGH of them hold what synthetic ones do.
    """
    weights = np.ones(len(real.positive))
    negative = ~real.positive
    for other in np.unique(real.other[negative]):
        mine = negative & (real.other == other)
        weights[mine] = (~fake.positive & (fake.other == other)).sum() / mine.sum()
    if (weights[negative] > 0).sum() < ENOUGH:
        weights[negative] = 1
    return weights


def _auc(part: _Target, weights: Scores | None, settings: Settings, more: int) -> Auc:
    return auc_of(
        part.scores,
        part.positive,
        part.patients,
        resamples=settings.resamples,
        seed=settings.seed + more,  # synthetic and real images are drawn apart
        weights=weights,
    )
