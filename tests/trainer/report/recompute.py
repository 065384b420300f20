"""The numbers of a report, computed again from the runs' predictions and without the package.

    python tests/trainer/report/recompute.py report.json     # prints what differs, exit code 1

Run it in the folder where the report was made. Of each dataset's test images and of other test sets
(`--test`): AUCs, their differences, the other figures and the curves, with pandas and scikit-learn;
and of subgroups the AUCs and differences. Standard errors of the targets' differences: by a
bootstrap of its own with other draws, so that they agree within its noise and not exactly. The
degrees of freedom follow from the report's error; intervals and p-values are compared with those of
Student's t where ten patients or more have the pathology. Holm's p, the verdicts and whether a gain
carries over follow from the raw p. Dose curves and variants: `recompute_across.py`. Not recomputed:
intervals of AUCs, of other pathologies and of subgroups.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from recompute_across import PLAIN, SYNTHETIC, across_faults, controls, judges
from recompute_intervals import (
    EXACT,
    Array,
    Check,
    Facts,
    Tables,
    difference_faults,
    enough,
    holm_faults,
    is_effect,
    known,
    mean_auc,
    patients,
    read_seeds,
)
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

ROUNDED = 0.5001e-4  # points of ROC curves have four decimals
FIGURES = ("average_precision", "calibration_error", "sensitivity")
CARRIED = {"helped": "carries over", "hurt": "reversed"}  # by the verdict there, of a gain


def faults(report: Facts) -> list[str]:
    """The numbers of the report that do not follow from the predictions."""
    wrong: list[str] = []

    def check(what: str, said: float, found: float, tolerance: float = EXACT) -> None:
        if not abs(said - found) <= tolerance:
            wrong.append(f"{what}: the report says {said}, the predictions {found}")

    read = {}
    for dataset in report["datasets"]:
        tables = read[dataset["name"]] = read_home(dataset)
        arms = {arm["title"]: arm["pathologies"] for arm in dataset["arms"]}
        study = {**dataset, "arms": arms}
        wrong += [*study_faults(check, dataset, study, tables, report["settings"])]
        check_subgroups(check, dataset, tables)
        for there in dataset["external"]:
            wrong += [*external_faults(check, dataset, there, report["settings"])]
    wrong += across_faults(check, report, read)
    return wrong


def read_home(dataset: Facts) -> dict[str, Tables]:
    files = {
        arm["title"]: [Path(run["folder"]) / "predictions.parquet" for run in arm["runs"]]
        for arm in dataset["arms"]
    }
    return read_seeds(files, [*dataset["positives"]])


def study_faults(
    check: Check, dataset: Facts, study: Facts, tables: dict[str, Tables], settings: Facts
) -> Iterator[str]:
    """Counts, figures, comparisons and verdicts of a dataset's arms on some test images."""
    title, first = study["name"], next(iter(tables.values()))[0]
    check(f"{title} images", study["test"]["images"], len(first))
    check(f"{title} patients", study["test"]["patients"], len({*patients(first)}))
    for name, said in study["positives"].items():
        for value, key in ((1, "positives"), (0, "negatives"), (-1, "unknown")):
            check(f"{title} {name} {key}", said[key], int((first[f"label:{name}"] == value).sum()))
    for arm, pathologies in study["arms"].items():
        for name, said in pathologies.items():
            if said["auc"]:
                check_figures(check, f"{title} {arm} {name}", said, tables[arm], name, settings)
            elif enough(first, name, settings):
                yield f"{title} {arm} {name}: no figure, though the labels allow one"
    families: dict[tuple[str, str], list[Facts]] = {}
    for row in study["comparisons"]:
        pair = (row["arm"], row["control"])
        if not row["missing"]:
            where = f"{title} {pair[0]} - {pair[1]} {row['pathology']}"
            rest = [tables[arm] for arm in tables if arm not in pair]
            tested = row if row["target"] else {**row, "p": None}
            yield from difference_faults(check, where, tested, *(tables[arm] for arm in pair), rest)
        elif enough(first, row["pathology"], settings):
            yield f"{title} {row['pathology']}: no difference, though the labels allow one"
        if row["target"]:
            families.setdefault(pair, []).append(row)
    for family in families.values():
        yield from holm_faults(family, lambda row, holm: verdict(dataset, row, holm))
    yield from conclusion_faults(dataset, study)


def check_figures(
    check: Check, where: str, said: Facts, here: Tables, name: str, settings: Facts
) -> None:
    """AUC, other figures and curves of an arm's pathology."""
    check(f"{where} AUC", said["auc"]["value"], mean_auc(here, name))
    for auc, table in zip(said["auc_of_seeds"], here, strict=True):
        check(f"{where} AUC of a seed", auc, float(roc_auc_score(*known(table, name))))
    figures = [other_figures(t, name, settings["specificity"], settings["bins"]) for t in here]
    for key, found in zip(FIGURES, np.mean(figures, axis=0), strict=True):
        check(f"{where} {key}", said[key], found, 1e-6)
    bins = bins_of(here, name, settings["bins"])
    check(f"{where} bins", len(said["reliability"]), len(bins))
    for number, (row, values) in enumerate(zip(said["reliability"], bins, strict=False), 1):
        for key, value in zip(("images", "predicted", "observed"), values, strict=True):
            check(f"{where} bin {number} {key}", row[key], value, 1e-6)
    points = curve(here, name, len(said["roc"]))
    worst = int(np.abs(points - said["roc"]).argmax())
    check(f"{where} ROC, point {worst}", said["roc"][worst], points[worst], ROUNDED)


def other_figures(
    table: pd.DataFrame, name: str, specificity: float, bins: int
) -> tuple[float, float, float]:
    """Average precision, expected calibration error, sensitivity."""
    labels, scores = known(table, name)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    error = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = (scores > low) & (scores <= high) | ((b == 0) & (scores == 0))
        if inside.any():
            error += inside.mean() * abs(labels[inside].mean() - scores[inside].mean())
    sensitivity = max(t for f, t in zip(false, true, strict=True) if 1 - f >= specificity - 1e-9)
    return float(average_precision_score(labels, scores)), float(error), float(sensitivity)


def bins_of(tables: Tables, name: str, bins: int) -> list[tuple[float, ...]]:
    """Images, mean probability and share of positives of each bin that has any, all seeds."""
    labels, scores = map(np.concatenate, zip(*(known(t, name) for t in tables), strict=True))
    table = pd.DataFrame({"scores": scores.astype(float), "labels": labels.astype(float)})
    place = pd.cut(table["scores"], np.linspace(0, 1, bins + 1), include_lowest=True)
    return [
        (len(part), float(part["scores"].mean()), float(part["labels"].mean()))
        for _, part in table.groupby(place, observed=True)
    ]


def curve(tables: Tables, name: str, points: int) -> Array:
    """The seeds' mean sensitivity at evenly spaced false positive rates."""
    curves = [roc_curve(*known(table, name)) for table in tables]
    return np.mean([np.interp(np.linspace(0, 1, points), f, t) for f, t, _ in curves], axis=0)


def check_subgroups(check: Check, dataset: Facts, tables: dict[str, Tables]) -> None:
    """Counts, AUCs and differences of the targets in each group of the test images."""
    runs = [table for seeds in tables.values() for table in seeds]
    for row in dataset["subgroups"]:
        values = next(table[row["group"]] for table in runs if row["group"] in table)
        inside = values == row["value"]
        parts = {title: [t[inside] for t in seeds] for title, seeds in tables.items()}
        name, (first, *_) = row["pathology"], next(iter(parts.values()))
        where = f"{dataset['name']} {row['value']} {name}"
        check(f"{where} images", row["images"], len(first))
        check(f"{where} positives", row["positives"], int((first[f"label:{name}"] == 1).sum()))
        for title, said in row["auc"].items():
            check(f"{where} {title} AUC", said["value"], mean_auc(parts[title], name))
        for said in row["differences"]:
            gap = mean_auc(parts[said["arm"]], name) - mean_auc(parts[said["control"]], name)
            check(f"{where} {said['arm']} - {said['control']}", said["value"], gap)


def verdict(dataset: Facts, row: Facts, holm: float) -> str:
    """Helped or hurt, if the control has real images alone and was otherwise trained alike."""
    arms = {arm["title"]: arm for arm in dataset["arms"]}
    if not is_effect(row, holm):
        return "no evidence"
    if min(len(arms[row[side]]["runs"]) for side in ("arm", "control")) < 2:
        return "one seed"
    if row["control"] in controls(dataset, arms[row["arm"]], PLAIN):
        return "helped" if row["low"] > 0 else "hurt"
    return "better" if row["low"] > 0 else "worse"


def conclusion_faults(dataset: Facts, study: Facts) -> Iterator[str]:
    """Whether a conclusion has the verdicts of its controls' rows."""
    arms = [arm for arm in dataset["arms"] if arm["title"] in study["arms"]]
    treated = {arm["title"]: arm for arm in arms if arm["name"] in SYNTHETIC}
    said = {(row["arm"], row["pathology"]): row for row in study["conclusions"]}
    if {*said} != {(title, name) for title in treated for name in study["targets"]}:
        yield f"{study['name']}: the conclusions are not those of its arms and targets"
        return
    rows = {(r["arm"], r["control"], r["pathology"]): r["verdict"] for r in study["comparisons"]}
    for (title, name), row in said.items():
        plain, balanced = judges({**dataset, "arms": arms}, treated[title])
        words = [rows[title, control, name] for control in (*plain, *balanced)]
        if not words:
            continue
        over = words[-1] if balanced and words[0] != "no verdict" else None
        if (row["verdict"], row.get("over_balancing", over)) != (words[0], over):
            yield f"{study['name']} {title} {name}: concluded {row['verdict']}, not {words[0]}"


def external_faults(check: Check, dataset: Facts, there: Facts, settings: Facts) -> Iterator[str]:
    """The same on the test images of another dataset, and whether a gain carries over."""
    where = f"{dataset['name']} on {there['name']}"
    files = {arm["title"]: [scored(run, there) for run in arm["runs"]] for arm in dataset["arms"]}
    tested = {title: [*filter(None, paths)] for title, paths in files.items() if all(paths)}
    if ({*tested}, {*files} - {*tested}) != ({*there["arms"]}, {*there["without"]}):
        yield f"{where}: scored there are {', '.join(tested)}"
        return
    for path in (path for paths in tested.values() for path in paths):
        facts = json.loads(path.with_suffix(".json").read_text())
        if hashlib.sha256(path.read_bytes()).hexdigest() != facts["predictions"]:
            yield f"{path} is not what was scored"
        if dict(facts["test"]["labels"]) != there["labels"]:
            yield f"{where}: {path} has other labels"
    names = [name for name in dataset["positives"] if name in there["labels"]]
    said = ({*there["positives"]}, {*there["left_out"]}, there["targets"])
    left_out = {*dataset["positives"]} - {*names}
    if said != ({*names}, left_out, [name for name in dataset["targets"] if name in names]):
        yield f"{where}: labelled there are {', '.join(names)}"
        return
    tables = read_seeds(tested, names)
    yield from study_faults(check, dataset, {**there, "name": where}, tables, settings)
    at_home = {(row["pathology"], row["arm"]): row["verdict"] for row in dataset["conclusions"]}
    for row in there["conclusions"]:
        own = at_home[row["pathology"], row["arm"]]
        carried = CARRIED.get(row["verdict"], "no evidence") if own == "helped" else "no gain"
        if (row["at_home"], row["carries_over"]) != (own, carried):
            yield f"{where} {row['arm']} {row['pathology']}: {row['carries_over']}, not {carried}"


def scored(run: Facts, there: Facts) -> Path | None:
    """The predictions of a run's best weights there."""
    name = f"{there['name']}-{there['digest'][:8]}.json"
    record = Path(run["folder"]) / "external" / name
    if not record.is_file():
        return None
    facts = json.loads(record.read_text())
    found = (facts["test"]["digest"], facts["manifest"], facts["epoch"])
    if found != (there["digest"], run["config"]["manifest_sha256"], run["best_epoch"]):
        return None
    return record.with_suffix(".parquet")


if __name__ == "__main__":
    differs = faults(json.loads(Path(sys.argv[1]).read_text()))
    print("\n".join(differs) or "All numbers are those of the predictions.")
    sys.exit(bool(differs))
