"""The tables of a dataset's arms on other test sets: AUCs, and whether gains carry over."""

from trainer.report.comparison_report import ReportSettings
from trainer.report.conclusions import EFFECTS
from trainer.report.results import Comparison, DatasetResult, ExternalResult
from trainer.report.sentences import DASH
from trainer.report.tables.cells import (
    Row,
    Table,
    ci,
    count,
    interval,
    key,
    number,
    p_value,
    starts,
    with_interval,
)


def external_aucs(dataset: DatasetResult, settings: ReportSettings) -> Table:
    """The AUC of each arm on each other test set."""
    titles = [arm.title for arm in dataset.arms]
    rows = list[Row]()
    notes = [f"AUC with its {ci(settings)}; the patients are those of the test set named."]
    for test in dataset.external:
        for name, counts in test.positives.items():
            found = (test.arms[t][name].auc if t in test.arms else None for t in titles)
            rows.append((test.name, name, count(counts.positives), *map(with_interval, found)))
        notes.append(_about(test))
        why = {
            f"{n}: {f.missing}" for arm in test.arms.values() for n, f in arm.items() if f.missing
        }
        notes += [f"{test.name}, {said}." for said in sorted(why)]
    return Table(
        key=key("externalaucs", dataset),
        title=f"{dataset.name}: AUC on other test sets",
        columns=("test set", "pathology", "positives", *titles),
        align="llr" + "r" * len(titles),
        rows=tuple(rows),
        note=" ".join(notes),
        dataset=dataset.name,
        starts=starts(rows),
    )


def external_differences(dataset: DatasetResult, settings: ReportSettings) -> Table:
    """Arm minus control for each target, at home and on each other test set."""
    home = {(row.arm, row.control, row.pathology): row for row in dataset.comparisons}
    found = [(test, row) for test in dataset.external for row in test.comparisons if row.target]
    rows = tuple(
        (
            test.name,
            row.arm,
            row.control,
            row.pathology,
            _at_home(home.get((row.arm, row.control, row.pathology))),
            number(row.value, "+"),
            interval(row.low, row.high, "+"),
            p_value(row.holm),
            row.verdict or DASH,
        )
        for test, row in found
    )
    return Table(
        key=key("external", dataset),
        title=f"{dataset.name}: differences in AUC on other test sets",
        columns=(
            *("test set", "arm", "control", "target", "at home"),
            *("difference", ci(settings), "p (Holm)", "verdict"),
        ),
        align="llllrrrrl",
        rows=rows,
        note="At home: the same difference on the dataset's own test images, with its verdict. The"
        " rest is of the other test set alone, by the same rule; p is adjusted over the targets"
        " that it labels. Nothing is adjusted over test sets.",
        dataset=dataset.name,
        starts=starts(rows, 3),
        strong=frozenset(i for i, (_, row) in enumerate(found) if row.verdict in EFFECTS),
    )


def _at_home(row: Comparison | None) -> str:
    return f"{number(row.value, '+')}, {row.verdict}" if row and row.value is not None else DASH


def _about(test: ExternalResult) -> str:
    said = f"{test.name}: {test.test.images:,} test images of {test.test.patients:,} patients"
    renamed = [f"{ours} as {theirs}" for ours, theirs in test.labels.items() if ours != theirs]
    said += f"; it labels {', '.join(renamed)}" if renamed else ""
    return said + "."
