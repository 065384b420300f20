"""Every table of a report of several runs, as plain text for a page, Markdown or LaTeX.

All comes from report.json; a dash stands where there is nothing, and the note says why.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from trainer.arms import ARMS, TREATMENTS
from trainer.report import published
from trainer.report.run import Facts
from trainer.report.words import BALANCED, PLAIN, small

DASH = "–"
OTHER = "†"  # after a figure of the paper that is of other images than ours
EFFECTS = ("helped", "hurt")

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table and the words around it; nothing in it is escaped."""

    key: str  # no other table of the report has it; of a-z, 0-9, _ and -
    title: str
    columns: Row
    align: str  # a letter per column: l text, r number, m monospaced words that may break anywhere
    rows: tuple[Row, ...]
    note: str
    dataset: str = ""  # the one that it is of; "" is all
    starts: frozenset[int] = frozenset()  # rows that begin a group, but the first
    strong: frozenset[int] = frozenset()  # rows that stand out


def tables(facts: Facts) -> list[Table]:
    """The tables in reading order; one without rows is left out."""
    datasets, settings = _named(facts["datasets"]), facts["settings"]
    found = [table1(datasets), table2(datasets, settings)]
    for dataset in datasets:
        found += [
            differences(dataset, settings),
            others(dataset, settings),
            figures(dataset, settings),
            subgroups(dataset, settings),
        ]
    found += [training(datasets), repeat(datasets, facts)]
    return [table for table in found if table.rows]


def _named(datasets: Sequence[Facts]) -> list[Facts]:
    """The datasets, with the digest's beginning in the name where two have the same."""
    names = [dataset["name"] for dataset in datasets]
    return [
        d if names.count(d["name"]) == 1 else d | {"name": f"{d['name']}-{d['digest'][:8]}"}
        for d in datasets
    ]


def table1(datasets: Sequence[Facts]) -> Table:
    """Images per regime, the paper's counts below ours."""
    targets = [*dict.fromkeys(target for dataset in datasets for target in dataset["targets"])]
    rows: list[Row] = []
    starts, notes = set(), ["Rendered images stand under the target that they were made for."]
    for dataset in datasets:
        name, plan = dataset["name"], dataset["plan"]
        starts.add(len(rows))
        ours = {target["pathology"]: target for target in plan["targets"]}
        begin = (name, _percent(dataset["regime"]))
        rows += [
            (
                *begin,
                "images",
                f"{plan['real']:,}",
                *(f"{ours[t]['render']:,}" if t in ours else DASH for t in targets),
                f"{plan['real'] + plan['synthetic']:,}",
            ),
            (
                *begin,
                "share reached",
                DASH,
                *(_share(ours[t]["share"], 2) if t in ours else DASH for t in targets),
                DASH,
            ),
        ]
        if paper := published.counts(dataset):
            sic = "" if paper.total == paper.combined else f" (sic; adds up to {paper.total:,})"
            rendered = (paper.rendered.get(target) for target in targets)
            rows.append(
                (
                    *begin,
                    "images, paper",
                    f"{paper.real:,}",
                    *(DASH if count is None else f"{count:,}" for count in rendered),
                    f"{paper.combined:,}{sic}",
                )
            )
        notes.append(_fewest(name, plan))
    if any(row[2] == "images, paper" for row in rows):
        notes.append(f"The paper's counts are Table 1 of {published.SOURCE}.")
    return Table(
        key="table1",
        title="Images per regime",
        columns=("dataset", "regime", "", "real", *targets, "combined"),
        align="lrlr" + "r" * len(targets) + "r",
        rows=tuple(rows),
        note=" ".join(notes),
        starts=frozenset(starts - {0}),
    )


def _fewest(name: str, plan: Facts) -> str:
    made, fewest = plan["synthetic"], plan["fewest"]
    if made == fewest:
        return f"{name}: {made:,} rendered images are proven to be the fewest."
    return f"{name}: {made:,} rendered images, of which at least {fewest:,} are proven necessary."


def table2(datasets: Sequence[Facts], settings: Facts) -> Table:
    """Test AUC per regime and target, a column per arm; the paper's beside it."""
    ranked = {(ARMS.index(a["name"]), a["title"]) for dataset in datasets for a in dataset["arms"]}
    titles = [title for _, title in sorted(ranked)]
    rows: list[Row] = []
    papers, starts, notes = [], set(), [f"AUC on test with its {_level(settings)} interval."]
    for dataset in datasets:
        starts.add(len(rows))
        arms = {arm["title"]: arm["pathologies"] for arm in dataset["arms"]}
        for name in _shown(dataset):
            found = [arms.get(title, {}).get(name, {}).get("auc") for title in titles]
            rows.append(
                (
                    dataset["name"],
                    _percent(dataset["regime"]),
                    name,
                    str(dataset["positives"][name]["positives"]),
                    *(_estimate(auc) for auc in found),
                )
            )
            papers.append(_papers(dataset, published.aucs(dataset, name), 3))
        notes += [_seeds(dataset), *_reasons(dataset, _shown(dataset))]
    columns = ("dataset", "regime", "pathology", "positives", *titles)
    if any(word != DASH for paper in papers for word in paper):
        columns += tuple(f"paper, {word}" for word in published.ARMS.values())
        rows = [(*row, *paper) for row, paper in zip(rows, papers, strict=True)]
        notes.append(
            f"The paper's are Table 2 of {published.SOURCE}: one number each, of other patients."
        )
        notes += _dagger(rows)
    return Table(
        key="table2",
        title="Test AUC in the paper's shape",
        columns=columns,
        align="lrl" + "r" * (len(columns) - 3),
        rows=tuple(rows),
        note=" ".join(notes),
        starts=frozenset(starts - {0}),
    )


def _papers(dataset: Facts, found: dict[str, float] | None, places: int) -> Row:
    """The paper's figure for each of its arms."""
    mark = OTHER if published.of_other_images(dataset) else ""
    return tuple(
        f"{found[arm]:.{places}f}{mark}" if found and arm in found else DASH
        for arm in published.ARMS
    )


def _dagger(rows: Iterable[Row]) -> list[str]:
    if not any(cell.endswith(OTHER) for row in rows for cell in row):
        return []
    return [f"{OTHER} Of other images: the paper's are radiographs, ours are phantoms."]


def differences(dataset: Facts, settings: Facts) -> Table:
    """Arm less control for each target, with the verdict."""
    found = [row for row in dataset["comparisons"] if row["target"]]
    alone = {arm["title"] for arm in dataset["arms"] if len(arm["runs"]) == 1}
    rows = tuple(
        (
            row["arm"],
            row["control"],
            row["pathology"],
            _signed(row.get("value")),
            _interval(row, "+"),
            _p(row.get("p")),
            _p(row.get("holm")),
            DASH if {row["arm"], row["control"]} & alone else _share(row.get("seed_share"), 0),
            row["verdict"],
        )
        for row in found
    )
    return Table(
        key=f"differences-{dataset['name']}",
        title=f"{dataset['name']}: differences of AUC from the controls",
        columns=(
            "arm",
            "control",
            "target",
            "difference",
            f"{_level(settings)} interval",
            "p",
            "p (Holm)",
            "seeds' part",
            "verdict",
        ),
        align="lllrrrrrl",
        rows=rows,
        note=" ".join(
            [
                "AUC of the arm less the control's, on the same resamples of the same test"
                f" patients. p is adjusted over the targets of each pair of arms (Holm). Helped or"
                f" hurt: the interval is without 0 and the adjusted p at most {settings['level']}."
                " The seeds' part is their share of the variance; one seed does not tell it.",
                *_reasons(dataset, dataset["targets"]),
                *_no_interval(found),
            ]
        ),
        dataset=dataset["name"],
        starts=_starts(found, "arm", "control"),
        strong=frozenset(i for i, row in enumerate(found) if row["verdict"] in EFFECTS),
    )


def others(dataset: Facts, settings: Facts) -> Table:
    """What each arm with synthetic images cost or gave the pathologies that are no targets."""
    pairs = _judged(dataset)
    by_name: dict[str, dict[tuple[str, str], Facts]] = {}
    for row in dataset["comparisons"]:
        if not row["target"] and (row["arm"], row["control"]) in pairs:
            by_name.setdefault(row["pathology"], {})[row["arm"], row["control"]] = row
    said = [_cost(pair, [row[pair] for row in by_name.values()]) for pair in pairs]
    return Table(
        key=f"others-{dataset['name']}",
        title=f"{dataset['name']}: did it cost the other pathologies?",
        columns=("pathology", "positives", *(_pair(*pair) for pair in pairs)),
        align="lr" + "r" * len(pairs),
        rows=tuple(
            (
                name,
                str(dataset["positives"][name]["positives"]),
                *(_estimate(row[pair], "+") for pair in pairs),
            )
            for name, row in by_name.items()
        ),
        note=" ".join(
            [
                f"Differences of AUC with {_level(settings)} intervals. No verdict is given, for"
                " they were not asked for beforehand and are not adjusted.",
                *said,
                *_reasons(dataset, by_name),
                *_no_interval(row for rows in by_name.values() for row in rows.values()),
            ]
        ),
        dataset=dataset["name"],
    )


def _cost(pair: tuple[str, str], rows: Sequence[Facts]) -> str:
    known = [row for row in rows if row.get("low") is not None]
    below = [row["pathology"] for row in known if row["high"] < 0]
    above = [row["pathology"] for row in known if row["low"] > 0]
    parts = [
        f"{side} 0 for {len(names)} of {len(known)}" + (f" ({', '.join(names)})" if names else "")
        for side, names in (("below", below), ("above", above))
    ]
    return f"{_pair(*pair)}: the interval lies {' and '.join(parts)}."


def figures(dataset: Facts, settings: Facts) -> Table:
    """Every pathology's AUC, average precision, calibration and sensitivity, targets first."""
    rows: list[Row] = []
    starts = set()
    for name in _ordered(dataset):
        count = dataset["positives"][name]
        starts.add(len(rows))
        for arm in dataset["arms"]:
            found = arm["pathologies"][name]
            rows.append(
                (
                    name,
                    arm["title"],
                    f"{count['positives']} of {count['positives'] + count['negatives']}",
                    _estimate(found.get("auc")),
                    ", ".join(f"{auc:.3f}" for auc in found.get("auc_of_seeds", ())) or DASH,
                    *(
                        _number(found.get(figure))
                        for figure in ("average_precision", "calibration_error", "sensitivity")
                    ),
                )
            )
    return Table(
        key=f"figures-{dataset['name']}",
        title=f"{dataset['name']}: figures of every arm",
        columns=("pathology", "arm", "positives", "AUC", "AUC of each seed", "AP", "ECE", "sens."),
        align="llrrrrrr",
        rows=tuple(rows),
        note=" ".join(
            [
                f"AUC with its {_level(settings)} interval; the others are means over the seeds."
                " AP: average precision, by chance the share of positives. ECE: expected"
                f" calibration error over {settings['bins']} bins. Sens.: sensitivity at a"
                f" specificity of {settings['specificity']}. Images of unknown label are left out.",
                _seeds(dataset),
                *_reasons(dataset, dataset["positives"]),
            ]
        ),
        dataset=dataset["name"],
        starts=frozenset(starts - {0}),
    )


def subgroups(dataset: Facts, settings: Facts) -> Table:
    """Targets in each group of the test images: AUC of each arm and differences."""
    found, pairs = dataset["subgroups"], _judged(dataset)
    titles = [arm["title"] for arm in dataset["arms"]]
    rows: list[Row] = []
    for row in found:
        aucs = row.get("auc", {})
        gaps = {(gap["arm"], gap["control"]): gap for gap in row.get("differences", ())}
        rows.append(
            (
                row["group"],
                row["value"],
                row["pathology"],
                f"{row['images']:,}",
                str(row["positives"]),
                *(_number(aucs[title]["value"]) if title in aucs else DASH for title in titles),
                *(_estimate(gaps.get(pair), "+") for pair in pairs),
            )
        )
    missing = [row for row in found if row["missing"]]
    why = {
        f"{r['value']}, {r['pathology']}: {r['missing']}."
        for r in missing
        if r["positives"] >= settings["min_positives"]
    }
    return Table(
        key=f"subgroups-{dataset['name']}",
        title=f"{dataset['name']}: targets in subgroups of the test images",
        columns=(
            "group",
            "value",
            "target",
            "images",
            "positives",
            *titles,
            *(_pair(*pair) for pair in pairs),
        ),
        align="lllrr" + "r" * (len(titles) + len(pairs)),
        rows=tuple(rows),
        note=" ".join(
            [
                f"Exploratory: AUC of each arm, and differences with {_level(settings)} intervals"
                " that are not adjusted, without p or verdict. Positives and images are counted"
                f" in test; below {settings['min_positives']} positives there is no figure.",
                *sorted(why),
            ]
        ),
        dataset=dataset["name"],
        starts=_starts(found, "group", "value"),
    )


def training(datasets: Sequence[Facts]) -> Table:
    """How each arm was trained and what its losses came to; the paper's gap beside it."""
    rows: list[Row] = []
    papers, starts = [], set()
    for dataset in datasets:
        starts.add(len(rows))
        gaps = dict(zip(published.ARMS, _papers(dataset, published.gaps(dataset), 2), strict=True))
        for arm in dataset["arms"]:
            lent = f" (of {arm['lent_by']})" if arm["lent_by"] else ""
            last = arm["last"]
            rows.append(
                (
                    dataset["name"],
                    arm["title"] + lent,
                    ", ".join(str(run["seed"]) for run in arm["runs"]),
                    f"{arm['steps']:,}",
                    f"{arm['shown']['real']:,.0f}",
                    f"{arm['shown']['synthetic']:,.0f}",
                    str(arm["epochs"]),
                    ", ".join(str(run["best_epoch"]) for run in arm["runs"]),
                    _number(last["train_loss"]),
                    _number(last["val_loss"]),
                    _signed(last["gap"]),
                )
            )
            # an arm with flips or another mix is not the paper's
            papers.append(gaps.get(arm["title"], DASH))
    notes = [
        "Real and synthetic: images that an epoch shows, in the mean. Losses are of the last"
        " epoch, means over the seeds; the gap is validation less train. An arm's train loss is"
        " over the images that it shows."
    ]
    if any(arm["name"] == "classweight" for dataset in datasets for arm in dataset["arms"]):
        notes.append("That of classweight is weighted, its validation loss is not.")
    columns: Row = (
        "dataset",
        "arm",
        "seeds",
        "steps",
        "real",
        "synthetic",
        "epochs",
        "best epochs",
        "train loss",
        "val loss",
        "gap",
    )
    if any(paper != DASH for paper in papers):
        columns += ("gap, paper",)
        rows = [(*row, paper) for row, paper in zip(rows, papers, strict=True)]
        notes += [f"The paper's gap is Figure 4 of {published.SOURCE}.", *_dagger(rows)]
    return Table(
        key="training",
        title="Training of each arm",
        columns=columns,
        align="ll" + "r" * (len(columns) - 2),
        rows=tuple(rows),
        note=" ".join(notes),
        starts=frozenset(starts - {0}),
    )


def repeat(datasets: Sequence[Facts], facts: Facts) -> Table:
    """All that is needed to make the report again; a run stands at the dataset it trained on."""
    rows: list[Row] = []
    for dataset in datasets:
        name, generator = dataset["name"], dataset["generator"]
        rows += [
            (name, "manifest, sha256", dataset["digest"]),
            (name, "recipe", json.dumps(dataset["build"])),
            (name, "generator", str(generator.get("name") or DASH)),
            (name, "generator, sha256", str(generator.get("sha256") or DASH)),
            (name, "label table", str(dataset["source"].get("dataset") or DASH)),
            (name, "label table, sha256", str(dataset["source"].get("labels_sha256") or DASH)),
        ]
        for arm in dataset["arms"]:
            for run in () if arm["lent_by"] else arm["runs"]:
                about = f"{name}, {arm['title']}, seed {run['seed']}"
                rows.append((about, "command", run["command"]))
                rows += [(about, f"{file}, sha256", hash) for file, hash in run["sha256"].items()]
                if start := run["config"].get("init_sha256"):
                    rows.append((about, "first weights, sha256", start))
                rows.append((about, "software", _software(run["software"])))
    rows += [
        ("report", "command", facts["command"]),
        ("report", "software", _software(facts["software"])),
    ]
    return Table(
        key="repeat",
        title="To repeat it",
        columns=("of", "what", ""),
        align="llm",
        rows=tuple(rows),
        note="The sha256 of a manifest names exactly its dataset, shards included.",
        starts=frozenset(i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0]),
    )


def _software(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _judged(dataset: Facts) -> list[tuple[str, str]]:
    """The arms with synthetic images, each with the controls that conclusions are drawn from."""
    titles = [arm["title"] for arm in dataset["arms"]]
    controls = [title for title in (PLAIN, BALANCED) if title in titles]
    treats = [arm["title"] for arm in dataset["arms"] if arm["name"] in TREATMENTS]
    return [(arm, control) for arm in treats for control in controls]


def _shown(dataset: Facts) -> list[str]:
    """The targets; every pathology where the plan has none."""
    return dataset["targets"] or [*dataset["positives"]]


def _ordered(dataset: Facts) -> list[str]:
    """All pathologies, the targets first."""
    return sorted(dataset["positives"], key=lambda name: name not in dataset["targets"])


def _starts(rows: Sequence[Facts], *names: str) -> frozenset[int]:
    """The rows, but the first, that differ from the one before in any of the names."""
    groups = groupby(range(len(rows)), key=lambda i: [rows[i][name] for name in names])
    return frozenset(next(group) for _, group in groups) - {0}


def _seeds(dataset: Facts) -> str:
    """Which seeds the means are over."""
    by_seeds: dict[str, list[str]] = {}
    for arm in dataset["arms"]:
        seeds = ", ".join(str(run["seed"]) for run in arm["runs"])
        by_seeds.setdefault(seeds, []).append(arm["title"])
    if len(by_seeds) == 1:
        return f"{dataset['name']}: every arm with seeds {next(iter(by_seeds))}."
    said = [f"{', '.join(arms)} with seeds {seeds}" for seeds, arms in by_seeds.items()]
    return f"{dataset['name']}: {'; '.join(said)}."


def _reasons(dataset: Facts, names: Iterable[str]) -> list[str]:
    """Why a figure or its interval is not there."""
    found: dict[str, list[str]] = {}
    for name in names:
        for arm in dataset["arms"]:
            if missing := arm["pathologies"][name]["missing"]:
                found.setdefault(f"{dataset['name']}, {name}: {missing}", []).append(arm["title"])
    return [
        f"{why}." if len(arms) == len(dataset["arms"]) else f"{why} ({', '.join(arms)})."
        for why, arms in found.items()
    ]


def _no_interval(rows: Iterable[Facts]) -> list[str]:
    if any("value" in row and row["low"] is None for row in rows):
        return ["No interval where all positives or all negatives are one patient's."]
    return []


def _pair(arm: str, control: str) -> str:
    return f"{arm} − {control}"


def _level(settings: Facts) -> str:
    return f"{100 * (1 - settings['level']):g} %"


def _percent(regime: str | None) -> str:
    return f"{regime} %" if regime else DASH


def _share(value: float | None, places: int) -> str:
    return DASH if value is None else f"{100 * value:.{places}f} %"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return DASH if value is None else f"{value:+.3f}"


def _p(value: float | None) -> str:
    return DASH if value is None else small(value)


def _interval(found: Facts, sign: str = "") -> str:
    if found.get("low") is None:
        return DASH
    return f"{found['low']:{sign}.3f} to {found['high']:{sign}.3f}"


def _estimate(found: Facts | None, sign: str = "") -> str:
    """The value with its interval in brackets, where there is one."""
    if not found or "value" not in found:
        return DASH
    value, interval = f"{found['value']:{sign}.3f}", _interval(found, sign)
    return value if interval == DASH else f"{value} ({interval})"
