"""The tables of one dataset: differences between its arms, their figures, subgroups."""

from collections.abc import Iterator, Sequence

from trainer.report.comparison_report import ReportSettings
from trainer.report.conclusions import EFFECTS
from trainer.report.dose import judged
from trainer.report.results import Comparison, DatasetResult, SubgroupResult
from trainer.report.sentences import DASH
from trainer.report.tables.cells import (
    WEAK,
    Row,
    Table,
    ci,
    count,
    interval,
    key,
    number,
    p_value,
    pair,
    share,
    starts,
    with_interval,
)
from trainer.report.tables.notes import no_interval, reasons, seeds


def differences(dataset: DatasetResult, settings: ReportSettings) -> Table:
    """Arm minus control for each target, with the verdict."""
    found = [row for row in dataset.comparisons if row.target]
    alone = {arm.title for arm in dataset.arms if len(arm.runs) == 1}
    rows = tuple(
        (
            row.arm,
            row.control,
            row.pathology,
            number(row.value, "+"),
            interval(row.low, row.high, "+"),
            p_value(row.p),
            p_value(row.holm),
            DASH if {row.arm, row.control} & alone else share(row.seed_share, 0),
            row.verdict or DASH,
        )
        for row in found
    )
    return Table(
        key=key("differences", dataset),
        title=f"{dataset.name}: differences in AUC from the controls",
        columns=(
            *("arm", "control", "target", "difference", ci(settings)),
            *("p", "p (Holm)", "seeds' share", "verdict"),
        ),
        align="lllrrrrrl",
        rows=rows,
        note=" ".join(
            [
                "AUC of the arm minus that of the control, on the same resamples of the same test"
                " patients. p is adjusted over the targets of each pair of arms (Holm). Helped or"
                " hurt, better or worse: the CI excludes 0 and the adjusted p is at most"
                f" {settings.level}. The seeds' share is the part of the variance that the seeds"
                " add to the patients'. One seed does not show it: such a difference is one between"
                " two trainings, not between the arms.",
                *reasons(dataset, dataset.targets),
                *no_interval(found),
            ]
        ),
        dataset=dataset.name,
        starts=starts(rows, 2),
        strong=frozenset(i for i, row in enumerate(found) if row.verdict in EFFECTS),
    )


def others(dataset: DatasetResult, settings: ReportSettings) -> Table:
    """The effect of each arm with synthetic images on the pathologies that are not targets."""
    pairs = judged(dataset)
    by_name: dict[str, dict[tuple[str, str], Comparison]] = {}
    for row in dataset.comparisons:
        if not row.target and (row.arm, row.control) in pairs:
            by_name.setdefault(row.pathology, {})[row.arm, row.control] = row
    return Table(
        key=key("others", dataset),
        title=f"{dataset.name}: differences in AUC for the other pathologies",
        columns=("pathology", "positives", *(pair(*both) for both in pairs)),
        align="lr" + "r" * len(pairs),
        rows=tuple(
            (
                name,
                str(dataset.positives[name].positives),
                *(with_interval(row[both], "+") for both in pairs),
            )
            for name, row in by_name.items()
        ),
        note=" ".join(
            [
                f"Differences in AUC with {ci(settings)}. There is no verdict, because these"
                " pathologies are not targets and nothing is adjusted for them.",
                *(_cost(pair(*both), [row[both] for row in by_name.values()]) for both in pairs),
                *reasons(dataset, by_name),
                *no_interval(row for rows in by_name.values() for row in rows.values()),
            ]
        ),
        dataset=dataset.name,
    )


def _cost(about: str, rows: Sequence[Comparison]) -> str:
    """How many intervals lie below 0 and how many above, and of which pathologies."""
    below = [row.pathology for row in rows if row.high is not None and row.high < 0]
    above = [row.pathology for row in rows if row.low is not None and row.low > 0]
    known = sum(row.low is not None for row in rows)
    parts = [
        f"{side} 0 for {len(names)} of {known}" + (f" ({', '.join(names)})" if names else "")
        for side, names in (("below", below), ("above", above))
    ]
    return f"{about}: the CI lies {' and '.join(parts)}."


def figures(dataset: DatasetResult, settings: ReportSettings) -> Table:
    """Every pathology's AUC, average precision, calibration and sensitivity, targets first."""
    rows = list[Row]()
    names = sorted(dataset.positives, key=lambda name: name not in dataset.targets)
    for name in names:
        known = dataset.positives[name]
        for arm in dataset.arms:
            found = arm.pathologies[name]
            rows.append(
                (
                    name,
                    arm.title,
                    f"{known.positives} of {known.positives + known.negatives}",
                    with_interval(found.auc),
                    ", ".join(map(number, found.auc_of_seeds)) or DASH,
                    number(found.average_precision),
                    number(found.calibration_error),
                    number(found.sensitivity),
                )
            )
    return Table(
        key=key("figures", dataset),
        title=f"{dataset.name}: figures of every arm",
        columns=("pathology", "arm", "positives", "AUC", "AUC of each seed", "AP", "ECE", "sens."),
        align="llrrrrrr",
        rows=tuple(rows),
        note=" ".join(
            [
                f"AUC with its {ci(settings)}; the other figures are means over the seeds."
                " AP: average precision; by chance it is the share of positives. ECE: expected"
                f" calibration error over {settings.bins} bins. Sens.: sensitivity at a"
                f" specificity of {settings.specificity}. Images with an unknown label are left"
                " out.",
                seeds(dataset),
                *reasons(dataset, dataset.positives),
            ]
        ),
        dataset=dataset.name,
        starts=starts(rows),
    )


def subgroups(dataset: DatasetResult, settings: ReportSettings) -> Table:
    """Targets in each group of the test images: AUC of each arm and differences."""
    pairs, titles = judged(dataset), [arm.title for arm in dataset.arms]
    few = range(settings.min_positives, settings.few)
    rows = tuple(
        (
            row.group,
            row.value,
            row.pathology,
            count(row.images),
            f"{row.positives}{WEAK if row.positives in few else ''}",
            *(number(row.auc[title].value) if title in row.auc else DASH for title in titles),
            *_gaps(row, pairs),
        )
        for row in dataset.subgroups
    )
    return Table(
        key=key("subgroups", dataset),
        title=f"{dataset.name}: targets in subgroups of the test images",
        columns=(
            *("group", "value", "target", "images", "positives"),
            *titles,
            *(pair(*both) for both in pairs),
        ),
        align="lllrr" + "r" * (len(titles) + len(pairs)),
        rows=rows,
        note=" ".join(_subgroup_notes(dataset, settings)),
        dataset=dataset.name,
        starts=starts(rows, 2),
    )


def _gaps(row: SubgroupResult, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    found = {(gap.arm, gap.control): gap for gap in row.differences}
    return (with_interval(found.get(both), "+") for both in pairs)


def _subgroup_notes(dataset: DatasetResult, settings: ReportSettings) -> Iterator[str]:
    least, few = settings.min_positives, settings.few
    yield (
        f"Exploratory: AUC of each arm, and differences with {ci(settings)} that are not adjusted;"
        " there is no p and no verdict. Images and positives are those in test. Below"
        f" {least} positives there is no figure."
    )
    if any(least <= row.positives < few for row in dataset.subgroups):
        yield f"{WEAK} Fewer than {few} positives: read with care."
    missing = [row for row in dataset.subgroups if row.missing and row.positives >= least]
    yield from sorted({f"{row.value}, {row.pathology}: {row.missing}." for row in missing})
