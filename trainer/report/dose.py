"""Datasets that differ only in the share of their targets → dose curves: difference over share.

The share is that of a dataset's own plan. What else a recipe holds must agree, and how the arms
were trained; names do not matter. The differences are those of each dataset: nothing is computed
again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from builder.contract import PlanProof
from trainer.report.across import DoseCurve, DosePoint
from trainer.report.conclusions import balanced_of, plain_of, treated
from trainer.report.results import Comparison, DatasetResult
from trainer.report.studies import OF_AN_ARM

# What two doses may differ in: a name, the share, and a limit that only says which plans are made.
FREE = ("name", "share", "max_per_real")

Dose = tuple[PlanProof, DatasetResult]  # a dataset with its plan


def dose_curves(datasets: Sequence[DatasetResult]) -> tuple[DoseCurve, ...]:
    """The curves of every group of datasets that differ in the share alone, two shares or more."""
    groups: dict[str, list[Dose]] = {}
    for dataset in datasets:
        if dataset.plan and "share" in dataset.build:
            groups.setdefault(_but_for_share(dataset), []).append((dataset.plan, dataset))
    return tuple(curve for group in groups.values() for curve in _curves(group))


def but_for(build: Mapping[str, object], *free: str) -> dict[str, object]:
    """A recipe without some of its fields."""
    return {name: value for name, value in build.items() if name not in free}


def _share(plan: PlanProof) -> float:
    return plan.share[0] / plan.share[1]


def _but_for_share(dataset: DatasetResult) -> str:
    build = but_for(dataset.build, *FREE)
    return json.dumps([build, dataset.targets, _trainings(dataset)], sort_keys=True)


def _trainings(dataset: DatasetResult) -> list[str]:
    """How the arms of its curves were trained, apart from what makes an arm; one where alike."""
    titles = {title for pair in judged(dataset) for title in pair}
    recipes = (arm.recipe for arm in dataset.arms if arm.title in titles)
    return sorted({json.dumps(but_for(recipe, *OF_AN_ARM), sort_keys=True) for recipe in recipes})


def _curves(group: Sequence[Dose]) -> Iterator[DoseCurve]:
    ordered = sorted(group, key=lambda dose: (_share(dose[0]), dose[1].name))
    found: dict[tuple[str, str, str], list[DosePoint]] = {}
    for plan, dataset in ordered:
        rows = {(r.arm, r.control, r.pathology): r for r in dataset.comparisons}
        for target in dataset.targets:
            for pair in judged(dataset):
                if point := _point(dataset, plan, rows.get((*pair, target))):
                    found.setdefault((target, *pair), []).append(point)
    for (target, arm, control), points in found.items():
        if len({point.share for point in points}) > 1:
            about = f"{ordered[0][1].name} to {ordered[-1][1].name}"
            yield DoseCurve(
                about=about, pathology=target, arm=arm, control=control, points=tuple(points)
            )


def judged(dataset: DatasetResult) -> list[tuple[str, str]]:
    """The arms with synthetic images, each with the controls of its conclusions, by title."""
    return [
        (arm.title, control.title)
        for arm in treated(dataset)
        for control in (plain_of(dataset, arm), balanced_of(dataset, arm))
        if control
    ]


def _point(dataset: DatasetResult, plan: PlanProof, row: Comparison | None) -> DosePoint | None:
    if row is None or row.value is None or row.verdict is None:
        return None
    return DosePoint(
        dataset=dataset.name,
        share=_share(plan),
        synthetic=plan.synthetic,
        value=row.value,
        low=row.low,
        high=row.high,
        holm=row.holm,
        verdict=row.verdict,
    )


def curves_by_figure(curves: Sequence[DoseCurve]) -> Mapping[str, list[DoseCurve]]:
    """The curves of each figure by its title: a target, with its datasets where others differ."""
    found: dict[str, list[DoseCurve]] = {}
    several = len({curve.about for curve in curves}) > 1
    for curve in curves:
        title = f"{curve.pathology}, {curve.about}" if several else curve.pathology
        found.setdefault(title, []).append(curve)
    return found
