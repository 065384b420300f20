"""The paper's Tables 1 and 2 and the gaps of its Figure 4, with our numbers in them."""

from collections.abc import Iterable, Mapping, Sequence

from trainer.arms import ARMS
from trainer.report import paper_values
from trainer.report.single_run import Facts
from trainer.report.tables.cells import (
    DASH,
    OTHER,
    Row,
    Table,
    count,
    estimate,
    level,
    number,
    regime,
    share,
    starts,
)
from trainer.report.tables.notes import reasons, seeds


def table1(datasets: Sequence[Facts]) -> Table:
    """Images per regime, the paper's counts below ours."""
    targets = [*dict.fromkeys(target for dataset in datasets for target in dataset["targets"])]
    rows = list[Row]()
    notes = ["Rendered images stand under the target that they were made for."]

    def images(real: int, rendered: Mapping[str, int], combined: int) -> Row:
        return (count(real), *(count(rendered.get(t)) for t in targets), count(combined))

    for dataset in datasets:
        begin, plan = (dataset["name"], regime(dataset)), dataset["plan"]
        rendered = {target["pathology"]: target["render"] for target in plan["targets"]}
        shares = {target["pathology"]: target["share"] for target in plan["targets"]}
        ours = images(plan["real"], rendered, plan["real"] + plan["synthetic"])
        reached = (DASH, *(share(shares.get(target), 2) for target in targets), DASH)
        rows += [(*begin, "images", *ours), (*begin, "share reached", *reached)]
        if paper := paper_values.counts(dataset):
            sic = "" if paper.total == paper.combined else f" (sic; adds up to {paper.total:,})"
            *theirs, combined = images(paper.real, paper.rendered, paper.combined)
            rows.append((*begin, "images, paper", *theirs, combined + sic))
        notes.append(_fewest(dataset["name"], plan))
    if any(map(paper_values.counts, datasets)):
        notes.append(f"The paper's counts are Table 1 of {paper_values.SOURCE}.")
    return Table(
        key="table1",
        title="Images per regime",
        columns=("dataset", "regime", "", "real", *targets, "combined"),
        align="lrlr" + "r" * len(targets) + "r",
        rows=tuple(rows),
        note=" ".join(notes),
        starts=starts(rows),
    )


def _fewest(name: str, plan: Facts) -> str:
    """Whether fewer rendered images could have reached the shares."""
    made, bound = plan["synthetic"], plan["lower_bound"]
    if made == bound:
        return f"{name}: {made:,} rendered images are proven to be the fewest."
    return f"{name}: {made:,} rendered images, of which at least {bound:,} are proven necessary."


def table2(datasets: Sequence[Facts], settings: Facts) -> Table:
    """Test AUC per regime and target, a column per arm; the paper's beside it."""
    ranked = {(ARMS.index(a["name"]), a["title"]) for dataset in datasets for a in dataset["arms"]}
    titles = [title for _, title in sorted(ranked)]
    rows, papers = list[Row](), list[Row]()
    notes = [f"AUC on test with its {level(settings)} interval."]
    for dataset in datasets:
        arms = {arm["title"]: arm["pathologies"] for arm in dataset["arms"]}
        names = dataset["targets"] or [*dataset["positives"]]
        for name in names:
            positives = str(dataset["positives"][name]["positives"])
            found = (arms[title][name].get("auc") if title in arms else None for title in titles)
            rows.append((dataset["name"], regime(dataset), name, positives, *map(estimate, found)))
            papers.append(_papers(dataset, paper_values.aucs(dataset, name), 3))
        notes += [seeds(dataset), *reasons(dataset, names)]
    columns: Row = ("dataset", "regime", "pathology", "positives", *titles)
    if any(word != DASH for paper in papers for word in paper):
        columns += tuple(f"paper, {word}" for word in paper_values.ARMS.values())
        rows = [(*row, *paper) for row, paper in zip(rows, papers, strict=True)]
        notes.append(
            f"The paper's are Table 2 of {paper_values.SOURCE}: one number each, of other patients."
        )
        notes += _dagger(rows)
    return Table(
        key="table2",
        title="Test AUC in the paper's shape",
        columns=columns,
        align="lrl" + "r" * (len(columns) - 3),
        rows=tuple(rows),
        note=" ".join(notes),
        starts=starts(rows),
    )


def training(datasets: Sequence[Facts]) -> Table:
    """How each arm was trained and what its losses came to; the paper's gap beside it."""
    rows, papers = list[Row](), list[str]()
    for dataset in datasets:
        gaps = dict(
            zip(paper_values.ARMS, _papers(dataset, paper_values.gaps(dataset), 2), strict=True)
        )
        for arm in dataset["arms"]:
            lent = f" (of {arm['lent_by']})" if arm["lent_by"] else ""
            last = arm["last"]
            rows.append(
                (
                    dataset["name"],
                    arm["title"] + lent,
                    ", ".join(str(run["seed"]) for run in arm["runs"]),
                    count(arm["steps"]),
                    f"{arm['shown']['real']:,.0f}",
                    f"{arm['shown']['synthetic']:,.0f}",
                    str(arm["epochs"]),
                    ", ".join(str(run["best_epoch"]) for run in arm["runs"]),
                    number(last["train_loss"]),
                    number(last["val_loss"]),
                    number(last["gap"], "+"),
                )
            )
            # by title: an arm with flips or another mix is not the paper's
            papers.append(gaps.get(arm["title"], DASH))
    notes = [
        "Real and synthetic: images that an epoch shows, in the mean. Losses are of the last"
        " epoch, means over the seeds; the gap is validation less train. An arm's train loss is"
        " over the images that it shows."
    ]
    if any(arm["name"] == "classweight" for dataset in datasets for arm in dataset["arms"]):
        notes.append("That of classweight is weighted, its validation loss is not.")
    columns: Row = (
        *("dataset", "arm", "seeds", "steps", "real", "synthetic"),
        *("epochs", "best epochs", "train loss", "val loss", "gap"),
    )
    if any(paper != DASH for paper in papers):
        columns += ("gap, paper",)
        rows = [(*row, paper) for row, paper in zip(rows, papers, strict=True)]
        notes += [f"The paper's gap is Figure 4 of {paper_values.SOURCE}.", *_dagger(rows)]
    return Table(
        key="training",
        title="Training of each arm",
        columns=columns,
        align="ll" + "r" * (len(columns) - 2),
        rows=tuple(rows),
        note=" ".join(notes),
        starts=starts(rows),
    )


def _papers(dataset: Facts, found: Mapping[str, float] | None, places: int) -> Row:
    """The paper's figure for each of its arms."""
    mark = OTHER if paper_values.of_other_images(dataset) else ""
    return tuple(
        f"{found[arm]:.{places}f}{mark}" if found and arm in found else DASH
        for arm in paper_values.ARMS
    )


def _dagger(rows: Iterable[Row]) -> list[str]:
    """What the dagger means, where a cell has one."""
    if not any(cell.endswith(OTHER) for row in rows for cell in row):
        return []
    return [f"{OTHER} Of other images: the paper's are radiographs, ours are phantoms."]
