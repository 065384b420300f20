"""A study → DatasetResult: AUCs, differences of arms, and a verdict on each target.

Every figure on test is computed from the runs' predictions.parquet. Arms are compared on the same
resamples of the same patients. p-values are adjusted over the targets of a dataset, for each pair
of arms separately (Holm); nothing is adjusted over pairs, datasets or subgroups.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product

import numpy as np

from trainer.arms import TREATMENTS
from trainer.evaluate.bootstrap import RESAMPLES
from trainer.evaluate.inference import (
    LEVEL,
    NO_VERDICT,
    Estimate,
    difference,
    estimate,
    holm,
    verdict,
)
from trainer.evaluate.metrics import BINS, SPECIFICITY
from trainer.progress import Advance
from trainer.report.arm_figures import arm_result, finite, missing, numbers
from trainer.report.comparison_report import ReportSettings
from trainer.report.gathering import FEW
from trainer.report.resampled import SEED, Resampled, subgroups
from trainer.report.results import (
    AucEstimate,
    Comparison,
    DatasetResult,
    LabelCounts,
    SampleSize,
    SubgroupDifference,
    SubgroupResult,
    Verdict,
)
from trainer.report.studies import ArmRuns, Study

# Only against a plain control does a verdict say helped or hurt.
AGAINST_ANOTHER: Mapping[Verdict, Verdict] = {"helped": "better", "hurt": "worse"}


def compare(study: Study, *, min_positives: int, advance: Advance) -> DatasetResult:
    """The result of a dataset, its conclusions apart.

    `advance` is called with the number of AUCs that were resampled: resampled.effort in all.
    """
    report, resampled = study.report, Resampled.of(study, advance)
    labels = resampled.labels
    return DatasetResult(
        name=study.name,
        digest=report.manifest.digest,
        regime=report.regime,
        generator=report.generator,
        source=report.source,
        build=report.build,
        image=report.image,
        images=report.images,
        plan=report.plan,
        targets=report.targets,
        test=SampleSize(images=len(labels), patients=int(resampled.patients.max()) + 1),
        positives={
            name: LabelCounts(
                positives=int((labels[:, i] == 1).sum()),
                negatives=int((labels[:, i] == 0).sum()),
                unknown=int((labels[:, i] < 0).sum()),
            )
            for i, name in enumerate(resampled.names)
        },
        common=study.common,
        arms=tuple(
            arm_result(study.arms[number], resampled, number, min_positives)
            for number in range(len(study.arms))
        ),
        comparisons=tuple(_comparisons(study, resampled, min_positives)),
        subgroups=tuple(_subgroups(study, resampled, min_positives, advance)),
    )


def settings(min_positives: int) -> ReportSettings:
    """How the figures are made."""
    return ReportSettings(
        level=LEVEL,
        resamples=RESAMPLES,
        seed=SEED,
        min_positives=min_positives,
        few=FEW,
        specificity=SPECIFICITY,
        bins=BINS,
    )


def pairs(arms: Sequence[ArmRuns]) -> list[tuple[int, int]]:
    """Which arm is compared with which control, as their numbers.

    Arms with synthetic images against every arm without; these against `none`, which shows what
    balancing or flips do by themselves.
    """
    treats = [arm.name in TREATMENTS for arm in arms]
    found = [
        (i, j)
        for i, j in product(range(len(arms)), repeat=2)
        if i != j and not treats[j] and (treats[i] or arms[j].name == "none")
    ]
    return sorted(found, key=lambda pair: (not treats[pair[0]], pair))


def _comparisons(study: Study, resampled: Resampled, min_positives: int) -> list[Comparison]:
    """Every pair of arms on every pathology, the targets first."""
    targets, aucs = study.report.targets, resampled.aucs
    names = (*targets, *(name for name in resampled.names if name not in targets))
    places = {name: resampled.names.index(name) for name in names}
    why = {name: missing(resampled.labels[:, places[name]], min_positives) for name in names}
    found = []
    for i, j in pairs(study.arms):
        gaps = {
            name: difference(aucs[i], aucs[j], at, pooled_with=aucs)
            for name, at in places.items()
            if not why[name]
        }
        p = np.array([gaps[name].p if name in gaps else np.nan for name in targets])
        adjusted = dict(zip(targets, holm(p).tolist(), strict=True))
        for name in names:
            row = Comparison(
                arm=study.arms[i].title,
                control=study.arms[j].title,
                pathology=name,
                target=name in targets,
                missing=why[name],
            )
            if name in targets:
                seen = _verdict(study.arms[i], study.arms[j], gaps.get(name), adjusted[name])
                row = replace(row, holm=finite(adjusted[name]), verdict=seen)
            if name in gaps:
                row = replace(row, **asdict(numbers(gaps[name])), p=finite(gaps[name].p))
            found.append(row)
    return found


def _verdict(arm: ArmRuns, control: ArmRuns, gap: Estimate | None, adjusted_p: float) -> Verdict:
    if gap is None:
        return NO_VERDICT
    seeds = min(len(arm.runs), len(control.runs))
    found = verdict(gap, adjusted_p, seeds=seeds)
    return found if control.is_plain_for(arm) else AGAINST_ANOTHER.get(found, found)


def _subgroups(
    study: Study, resampled: Resampled, min_positives: int, advance: Advance
) -> Iterator[SubgroupResult]:
    """The targets' AUCs and differences in each group of the test images, without p-values."""
    known, targets = study.arms[0].runs[0].test.groups, study.report.targets
    for group, value in subgroups(study):
        rows = np.flatnonzero(known[group] == value)
        part = resampled.part(rows, targets, advance)
        for i, target in enumerate(targets):
            why = missing(part.labels[:, i], min_positives)
            yield SubgroupResult(
                group=group,
                value=value,
                pathology=target,
                images=len(rows),
                positives=int((part.labels[:, i] == 1).sum()),
                missing=why,
                auc={} if why else _subgroup_aucs(study.arms, part, i),
                differences=() if why else tuple(_subgroup_differences(study.arms, part, i)),
            )


def _subgroup_aucs(arms: Sequence[ArmRuns], part: Resampled, i: int) -> dict[str, AucEstimate]:
    return {
        arm.title: numbers(estimate(aucs, i, pooled_with=part.aucs))
        for arm, aucs in zip(arms, part.aucs, strict=True)
    }


def _subgroup_differences(
    arms: Sequence[ArmRuns], part: Resampled, i: int
) -> Iterator[SubgroupDifference]:
    for a, b in pairs(arms):
        if arms[a].name in TREATMENTS:
            gap = difference(part.aucs[a], part.aucs[b], i, pooled_with=part.aucs)
            yield SubgroupDifference(
                arm=arms[a].title, control=arms[b].title, **asdict(numbers(gap))
            )
