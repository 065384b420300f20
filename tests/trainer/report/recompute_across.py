"""Dose curves and variants of a report, computed again from the runs' predictions.

Which datasets and arms belong together is found again, too: from the recipes in the report and, of
variants, from the digest of the real images in each run's report.json. A point of a dose curve is
compared with its dataset's own difference, which `recompute.py` computes again.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from recompute_intervals import (
    Check,
    Facts,
    Tables,
    difference_faults,
    enough,
    holm_faults,
    is_effect,
    mean_auc,
    read_seeds,
)

SYNTHETIC = ("gan", "pretrain")  # arms that show synthetic images
PLAIN = ("none", "flip", "radiograph")  # arms of the real images, each once
TRAINED = ("augment", "mix", "steps", "network")
FREE = ("name", "share", "max_per_real")  # in which the recipes of two doses may differ
UNTOLD = ("name", "max_per_real", "generator_sha256")  # and what a variant does not name
POINT = ("value", "low", "high", "holm", "verdict")


def across_faults(check: Check, report: Facts, read: dict[str, dict[str, Tables]]) -> list[str]:
    """The faults of dose curves and variants; `read` are the tables of each dataset's arms."""
    return [*dose_faults(check, report, read), *variants_faults(check, report)]


def controls(
    dataset: Facts, arm: Facts, names: Sequence[str], alike: Sequence[str] = TRAINED
) -> list[str]:
    """Titles of the arms of these names that were otherwise trained as this one."""
    ours = arm["runs"][0]["config"]
    same = [
        other
        for other in dataset["arms"]
        if all(other["runs"][0]["config"][key] == ours[key] for key in alike)
    ]
    return [other["title"] for name in names for other in same if other["name"] == name]


def judges(dataset: Facts, arm: Facts) -> tuple[list[str], list[str]]:
    """The control of real images alone, and of `gan` that of the same balance, if there are any."""
    of_gan = ("oversample",) if arm["name"] == "gan" else ()
    balanced = controls(dataset, arm, of_gan, (*TRAINED, "synthetic_weight"))
    return controls(dataset, arm, PLAIN)[:1], balanced[:1]


def dose_faults(check: Check, report: Facts, read: dict[str, dict[str, Tables]]) -> Iterator[str]:
    """Whether the curves are those of the datasets, and their points those of the predictions."""
    expected: dict[tuple[str, ...], list[Facts]] = {}
    for group in doses(report["datasets"]):
        about = f"{group[0]['name']} to {group[-1]['name']}"
        for dataset in group:
            for row in judged(dataset):
                key = (about, row["pathology"], row["arm"], row["control"])
                expected.setdefault(key, []).append({**row, "dataset": dataset})
    expected = {
        key: rows for key, rows in expected.items() if len({share(r["dataset"]) for r in rows}) > 1
    }
    said = {(c["about"], c["pathology"], c["arm"], c["control"]): c for c in report["doses"]}
    for key in {*said} ^ {*expected}:
        yield f"dose curve {', '.join(key)}: {'no' if key in said else 'a'} curve follows"
    for key in {*said} & {*expected}:
        where, points = f"dose curve {', '.join(key)}", said[key]["points"]
        if [p["dataset"] for p in points] != [row["dataset"]["name"] for row in expected[key]]:
            yield f"{where}: its points are of other datasets"
            continue
        for point, row in zip(points, expected[key], strict=True):
            dataset = row["dataset"]
            arm, control = (read[dataset["name"]][title] for title in key[2:])
            gap = mean_auc(arm, key[1]) - mean_auc(control, key[1])
            check(f"{where} at {dataset['name']}", point["value"], gap)
            check(f"{where} share of {dataset['name']}", point["share"], share(dataset))
            images = dataset["images"]["train synthetic"]
            check(f"{where} synthetic images of {dataset['name']}", point["synthetic"], images)
            if [point[field] for field in POINT] != [row[field] for field in POINT]:
                yield f"{where} at {dataset['name']}: not what its dataset says"


def doses(datasets: Sequence[Facts]) -> list[list[Facts]]:
    """Datasets whose recipes agree in all but the share, by share."""
    groups: dict[str, list[Facts]] = {}
    for dataset in datasets:
        if dataset["plan"] and "share" in dataset["build"]:
            fixed = {k: v for k, v in dataset["build"].items() if k not in FREE}
            key = json.dumps([fixed, dataset["targets"]], sort_keys=True)
            groups.setdefault(key, []).append(dataset)
    return [sorted(group, key=lambda d: (share(d), d["name"])) for group in groups.values()]


def share(dataset: Facts) -> float:
    """The share of the plan."""
    above, below = dataset["plan"]["share"]
    return float(above / below)


def judged(dataset: Facts) -> Iterator[Facts]:
    """The rows of the targets that stand in dose curves."""
    for arm in dataset["arms"]:
        if arm["name"] in SYNTHETIC:
            pairs = {(arm["title"], title) for titles in judges(dataset, arm) for title in titles}
            for row in dataset["comparisons"]:
                if row["target"] and row["value"] is not None:
                    yield from [row] if (row["arm"], row["control"]) in pairs else ()


def variants_faults(check: Check, report: Facts) -> Iterator[str]:
    """Whether every arm with synthetic images is compared with plain gan, and rightly."""
    datasets = {dataset["name"]: dataset for dataset in report["datasets"]}
    groups: dict[str, list[tuple[str, str]]] = {}
    for dataset in report["datasets"]:
        own = [arm for arm in dataset["arms"] if not arm["lent_by"]]
        real = own[0]["runs"][0]["folder"] if own else None
        digest = real and json.loads((Path(real) / "report.json").read_text()).get("real")
        if digest and dataset["targets"]:
            pairs = [(dataset["name"], a["title"]) for a in own if a["name"] in SYNTHETIC]
            groups.setdefault(digest, []).extend(pairs)
    rows: dict[str, list[Facts]] = {}
    for row in report["variants"]:
        rows.setdefault(row["reference"], []).append(row)
    for group in groups.values():
        plain = [dataset for dataset, title in group if title == "gan"]
        if len(group) < 2 or not plain:
            continue
        found = [name for name in plain if name in rows]
        if len(found) != 1:  # any of them may have been named first
            yield f"variants: {len(found)} references for {', '.join(d for d, _ in group)}"
            continue
        others = [pair for pair in group if pair != (found[0], "gan")]
        yield from group_faults(check, datasets, rows.pop(found[0]), others, report["settings"])
    yield from (f"variants of {name}: it has none" for name in rows)


def group_faults(
    check: Check,
    datasets: dict[str, Facts],
    rows: list[Facts],
    others: list[tuple[str, str]],
    settings: Facts,
) -> Iterator[str]:
    """The rows of one reference; `others` are the arms that are to be compared with its gan."""
    reference = rows[0]["reference"]
    targets = datasets[reference]["targets"]
    expected = {(*pair, name) for pair in others for name in targets}
    if {(row["dataset"], row["arm"], row["pathology"]) for row in rows} != expected:
        yield f"variants of {reference}: not every arm and target, or others"
        return
    runs = {
        pair: next(a["runs"] for a in datasets[pair[0]]["arms"] if a["title"] == pair[1])
        for pair in ((reference, "gan"), *others)
    }
    files = {
        " ".join(pair): [Path(run["folder"]) / "predictions.parquet" for run in of_arm]
        for pair, of_arm in runs.items()
    }
    tables = read_seeds(files, targets)
    plain, *_ = tables.values()
    for title, seeds in tables.items():
        if not all(np.array_equal(table["key"], plain[0]["key"]) for table in seeds):
            yield f"{title} was not tested on the images of {reference}"
            return
    for pair in others:
        arm = tables[" ".join(pair)]
        rest = [other for other in tables.values() if other is not arm and other is not plain]
        family = [row for row in rows if (row["dataset"], row["arm"]) == pair]
        for row in family:
            where = f"variant {' '.join(pair)} - {reference} gan {row['pathology']}"
            if not row["missing"]:
                yield from difference_faults(check, where, row, arm, plain, rest)
            elif enough(plain[0], row["pathology"], settings):
                yield f"{where}: no difference, though the labels allow one"
            builds = (datasets[name]["build"] for name in (pair[0], reference))
            yield from (f"{where}: {fault}" for fault in told_faults(row["differs"], *builds))
        seeds = min(len(runs[pair]), len(runs[reference, "gan"]))
        yield from holm_faults(family, lambda row, holm, seeds=seeds: word(row, holm, seeds))


def word(row: Facts, holm: float, seeds: int) -> str:
    """What is said of a variant."""
    if not is_effect(row, holm):
        return "no evidence"
    if seeds < 2:
        return "one seed"
    return "better" if row["low"] > 0 else "worse"


def told_faults(said: Sequence[str], build: Facts, reference: Facts) -> Iterator[str]:
    """Whether each field in which two recipes differ is named, and no other."""
    usual = {"vectors": "lp"}
    ours, theirs = usual | build, usual | reference
    fields = {name for name in {*ours, *theirs} - {*UNTOLD} if ours.get(name) != theirs.get(name)}
    if ours.get("generator_sha256") != theirs.get("generator_sha256"):
        fields |= {"generator"}
    begins = {name: (f"{name.replace('_', ' ')} ",) for name in fields - {"checks"}}
    begins |= {"checks": ("check ", "no check ")} if "checks" in fields else {}
    for name, beginnings in begins.items():
        if not any(entry.startswith(beginnings) for entry in said):
            yield f"the recipes differ in {name}, which is not said"
    every = tuple(beginning for beginnings in begins.values() for beginning in beginnings)
    yield from (f"the recipes do not differ in {e}" for e in said if not e.startswith(every))
