"""The paper's Tables 1 and 2 and the gaps of its Figure 4, with our numbers in them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from builder.contract import PlanProof
from trainer.recipe import ARMS, ArmName
from trainer.report import paper_values
from trainer.report.comparison_report import ReportSettings
from trainer.report.paper_values import PAPER_ARMS
from trainer.report.results import ArmResult, DatasetResult
from trainer.report.sentences import DASH
from trainer.report.tables.cells import (
    OTHER,
    Row,
    Table,
    ci,
    count,
    number,
    regime,
    share,
    starts,
    with_interval,
)
from trainer.report.tables.notes import reasons, seeds


def table1(datasets: Sequence[DatasetResult]) -> Table:
    """Images per regime, the paper's counts below ours."""
    targets = [*dict.fromkeys(target for dataset in datasets for target in dataset.targets)]
    rows = list[Row]()
    notes = ["Rendered images are counted under the target that they were made for."]
    for dataset in datasets:
        begin = (dataset.name, regime(dataset))
        rows += [(*begin, *row) for row in _image_counts(dataset, targets)]
        if dataset.plan:
            notes.append(_proof(dataset.name, dataset.plan))
    if any(map(paper_values.counts, datasets)):
        notes.append(f"The paper's counts are from Table 1 of {paper_values.SOURCE}.")
    return Table(
        key="table1",
        title="Images per regime",
        columns=("dataset", "regime", "", "real", *targets, "combined"),
        align="lrlr" + "r" * len(targets) + "r",
        rows=tuple(rows),
        note=" ".join(notes),
        starts=starts(rows),
    )


def _image_counts(dataset: DatasetResult, targets: Sequence[str]) -> Iterator[Row]:
    """Ours, the share that each target reached, and the paper's."""

    def images(real: int, rendered: Mapping[str, int], combined: int) -> Row:
        return (count(real), *(count(rendered.get(t)) for t in targets), count(combined))

    plan = dataset.plan
    if plan is None:
        real = dataset.images["train real"]
        yield "images", *images(real, {}, real)
        return
    rendered = {target.pathology: target.render for target in plan.targets}
    shares = {target.pathology: target.share for target in plan.targets}
    yield "images", *images(plan.real, rendered, plan.real + plan.synthetic)
    yield "share reached", DASH, *(share(shares.get(target), 2) for target in targets), DASH
    if paper := paper_values.counts(dataset):
        sic = "" if paper.total == paper.combined else f" (sic; adds up to {paper.total:,})"
        *theirs, combined = images(paper.real, paper.rendered, paper.combined)
        yield "images, paper", *theirs, combined + sic


def _proof(name: str, plan: PlanProof) -> str:
    """Whether fewer rendered images could have reached the shares."""
    made, bound = plan.synthetic, plan.lower_bound
    if made == bound:
        return f"{name}: {made:,} rendered images are the proven minimum."
    return f"{name}: {made:,} rendered images; at least {bound:,} are proven to be necessary."


def table2(datasets: Sequence[DatasetResult], settings: ReportSettings) -> Table:
    """Test AUC per regime and target, a column per arm, then the paper's values."""
    ranked = {(ARMS.index(arm.name), arm.title) for dataset in datasets for arm in dataset.arms}
    titles = [title for _, title in sorted(ranked)]
    rows, papers = list[Row](), list[Row]()
    notes = [f"AUC on test images with its {ci(settings)}."]
    for dataset in datasets:
        arms = {arm.title: arm.pathologies for arm in dataset.arms}
        names = dataset.targets or tuple(dataset.positives)
        for name in names:
            head = (dataset.name, regime(dataset), name, str(dataset.positives[name].positives))
            found = (arms[title][name].auc if title in arms else None for title in titles)
            rows.append((*head, *map(with_interval, found)))
            papers.append(_papers(dataset, paper_values.aucs(dataset, name), 3))
        notes += [seeds(dataset), *reasons(dataset, names)]
    columns: Row = ("dataset", "regime", "pathology", "positives", *titles)
    if any(cell != DASH for paper in papers for cell in paper):
        columns += tuple(f"paper, {name}" for name in PAPER_ARMS.values())
        rows = [(*row, *paper) for row, paper in zip(rows, papers, strict=True)]
        notes.append(
            f"The paper's values are from Table 2 of {paper_values.SOURCE}: one number each, of"
            " other patients."
        )
        notes += _dagger(rows)
    return Table(
        key="table2",
        title="Test AUC in the paper's layout",
        columns=columns,
        align="lrl" + "r" * (len(columns) - 3),
        rows=tuple(rows),
        note=" ".join(notes),
        starts=starts(rows),
    )


def training(datasets: Sequence[DatasetResult]) -> Table:
    """How each arm was trained, its final losses, then the paper's gap."""
    rows, papers = list[Row](), list[str]()
    for dataset in datasets:
        gaps = _papers(dataset, paper_values.gaps(dataset), 2)
        by_name = dict(zip(PAPER_ARMS, gaps, strict=True))
        for arm in dataset.arms:
            rows.append((dataset.name, *_trained(arm)))
            usual = not {*arm.modifiers} - {arm.name}  # with flips or another mix it is not theirs
            papers.append(by_name.get(arm.name, DASH) if usual else DASH)
    notes = [
        "Real and synthetic: images that an epoch shows, on average. Losses are of the last epoch,"
        " means over the seeds; the gap is validation loss minus train loss. An arm's train loss"
        " covers the images that it shows."
    ]
    if any(arm.name == "classweight" for dataset in datasets for arm in dataset.arms):
        notes.append("The train loss of classweight is weighted, its validation loss is not.")
    columns: Row = (
        *("dataset", "arm", "seeds", "steps", "real", "synthetic"),
        *("epochs", "best epochs", "train loss", "val loss", "gap"),
    )
    if any(paper != DASH for paper in papers):
        columns += ("gap, paper",)
        rows = [(*row, paper) for row, paper in zip(rows, papers, strict=True)]
        notes += [f"The paper's gap is from Figure 4 of {paper_values.SOURCE}.", *_dagger(rows)]
    return Table(
        key="training",
        title="Training of each arm",
        columns=columns,
        align="ll" + "r" * (len(columns) - 2),
        rows=tuple(rows),
        note=" ".join(notes),
        starts=starts(rows),
    )


def _trained(arm: ArmResult) -> Row:
    return (
        arm.title + (f" (of {arm.lent_by})" if arm.lent_by else ""),
        ", ".join(str(run.seed) for run in arm.runs),
        count(arm.steps),
        f"{arm.shown.real:,.0f}",
        f"{arm.shown.synthetic:,.0f}",
        str(arm.epochs),
        ", ".join(str(run.best_epoch) for run in arm.runs),
        number(arm.last.train_loss),
        number(arm.last.val_loss),
        number(arm.last.gap, "+"),
    )


def _papers(dataset: DatasetResult, found: Mapping[ArmName, float] | None, places: int) -> Row:
    """The paper's figure for each of its arms."""
    mark = OTHER if paper_values.is_of_phantoms(dataset) else ""
    return tuple(
        f"{found[arm]:.{places}f}{mark}" if found and arm in found else DASH for arm in PAPER_ARMS
    )


def _dagger(rows: Iterable[Row]) -> list[str]:
    """What the dagger means, where a cell has one."""
    if not any(cell.endswith(OTHER) for row in rows for cell in row):
        return []
    return [f"{OTHER} The paper's images are radiographs, ours are phantoms."]
