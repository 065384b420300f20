"""The numbers of a report again, from predictions.parquet alone and without the package.

    python tests/trainer/report/recompute.py report.json     # prints what differs, exit code 1

pandas and scikit-learn on the images as they are: AUCs and their differences, of all test images
and of subgroups, and the figures and curves beside them. A bootstrap of its own, with other draws
and written the slow way, for the targets' standard errors and intervals of differences, which
therefore agree within its noise and not exactly. Holm's p and the verdicts follow from the raw p.
Not recomputed: that raw p, and the intervals of AUCs, of other pathologies and of subgroups.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

DRAWS = 300
EXACT = 1e-9
ROUNDED = 0.5001e-4  # points of ROC curves have four decimals
LEAST, MOST = 1.6, 4.8  # standard errors to an end: Student's t has 1.96, or 4.3 with two degrees


def test_rows(folder: str) -> pd.DataFrame:
    table = pd.read_parquet(Path(folder) / "predictions.parquet")
    return table[table.split == "test"].reset_index(drop=True)


def read(dataset: dict) -> dict[str, list[pd.DataFrame]]:
    """The test images of every arm and seed; a label is unknown where any run has none."""
    tables = {
        arm["title"]: [test_rows(run["folder"]) for run in arm["runs"]] for arm in dataset["arms"]
    }
    runs = [table for of_arm in tables.values() for table in of_arm]
    for name in dataset["positives"]:
        unknown = np.any([table[f"label:{name}"] < 0 for table in runs], axis=0)
        for table in runs:
            table.loc[unknown, f"label:{name}"] = -1
    return tables


def auc_of(table: pd.DataFrame, name: str) -> float:
    known = table[table[f"label:{name}"] >= 0]
    return float(roc_auc_score(known[f"label:{name}"], known[f"probability:{name}"]))


def others(table: pd.DataFrame, name: str, specificity: float, bins: int) -> tuple[float, ...]:
    known = table[table[f"label:{name}"] >= 0]
    labels = known[f"label:{name}"].to_numpy()
    scores = known[f"probability:{name}"].to_numpy()
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    error = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = (scores > low) & (scores <= high) | ((b == 0) & (scores == 0))
        if inside.any():
            error += inside.mean() * abs(labels[inside].mean() - scores[inside].mean())
    sensitivity = max(t for f, t in zip(false, true, strict=True) if 1 - f >= specificity - 1e-9)
    return float(average_precision_score(labels, scores)), float(error), float(sensitivity)


def bins_of(tables: list[pd.DataFrame], name: str, bins: int) -> list[tuple[float, ...]]:
    """Images, mean probability and share of positives of each bin that has any, all seeds."""
    known = pd.concat([table[table[f"label:{name}"] >= 0] for table in tables])
    table = pd.DataFrame(
        {
            "scores": known[f"probability:{name}"].astype(float),
            "labels": known[f"label:{name}"].astype(float),
        }
    )
    place = pd.cut(table["scores"], np.linspace(0, 1, bins + 1), include_lowest=True)
    return [
        (len(part), float(part["scores"].mean()), float(part["labels"].mean()))
        for _, part in table.groupby(place, observed=True)
    ]


def curve(tables: list[pd.DataFrame], name: str, points: int) -> np.ndarray:
    """The seeds' mean sensitivity at evenly spaced false positive rates."""
    curves = []
    for table in tables:
        known = table[table[f"label:{name}"] >= 0]
        false, true, _ = roc_curve(known[f"label:{name}"], known[f"probability:{name}"])
        curves.append(np.interp(np.linspace(0, 1, points), false, true))
    return np.mean(curves, axis=0)


def mean_auc(tables: list[pd.DataFrame], name: str) -> float:
    return float(np.mean([auc_of(table, name) for table in tables]))


def faults(report: dict) -> list[str]:
    """What of the report's numbers is not what the predictions say."""
    wrong: list[str] = []

    def check(what: str, said: float, found: float, tolerance: float = EXACT) -> None:
        if not abs(said - found) <= tolerance:
            wrong.append(f"{what}: the report says {said}, the predictions {found}")

    settings = report["settings"]
    for dataset in report["datasets"]:
        tables = read(dataset)
        for arm in dataset["arms"]:
            for name, said in arm["pathologies"].items():
                here, where = tables[arm["title"]], f"{dataset['name']} {arm['title']} {name}"
                labels = here[0][f"label:{name}"]
                positives = int((labels == 1).sum())
                check(f"{where} positives", dataset["positives"][name]["positives"], positives)
                if "auc" in said:
                    check_figures(check, where, said, here, name, settings)
                elif positives >= settings["min_positives"] and (labels == 0).any():
                    wrong.append(f"{where}: no figure for {positives} positives")
        for row in dataset["comparisons"]:
            if row["missing"]:
                continue
            where = f"{dataset['name']} {row['arm']} - {row['control']} {row['pathology']}"
            arm, control = tables[row["arm"]], tables[row["control"]]
            name = row["pathology"]
            check(where, row["value"], mean_auc(arm, name) - mean_auc(control, name))
            if row["target"] and row["p"] is not None:
                wrong += interval_faults(where, row, arm, control)
        check_subgroups(check, dataset, tables)
        wrong += holm_faults(dataset)
    return wrong


def check_figures(
    check: Callable, where: str, said: dict, here: list, name: str, settings: dict
) -> None:
    """AUC, the figures beside it and the curves of an arm's pathology."""
    check(f"{where} AUC", said["auc"]["value"], mean_auc(here, name))
    for auc, table in zip(said["auc_of_seeds"], here, strict=True):
        check(f"{where} AUC of a seed", auc, auc_of(table, name))
    beside = [others(t, name, settings["specificity"], settings["bins"]) for t in here]
    for key, found in zip(
        ("average_precision", "calibration_error", "sensitivity"),
        np.mean(beside, axis=0),
        strict=True,
    ):
        check(f"{where} {key}", said[key], found, 1e-6)
    bins = bins_of(here, name, settings["bins"])
    check(f"{where} bins", len(said["reliability"]), len(bins))
    for number, (row, found) in enumerate(zip(said["reliability"], bins, strict=False), 1):
        for key, value in zip(("images", "predicted", "observed"), found, strict=True):
            check(f"{where} bin {number} {key}", row[key], value, 1e-6)
    points = curve(here, name, len(said["roc"]))
    worst = int(np.abs(points - said["roc"]).argmax())
    check(f"{where} ROC, point {worst}", said["roc"][worst], points[worst], ROUNDED)


def check_subgroups(check: Callable, dataset: dict, tables: dict) -> None:
    """Counts, AUCs and differences of the targets in each group of the test images."""
    runs = [table for of_arm in tables.values() for table in of_arm]
    for row in dataset["subgroups"]:
        words = next(table[row["group"]] for table in runs if row["group"] in table)
        parts = {
            title: [table[words == row["value"]] for table in of_arm]
            for title, of_arm in tables.items()
        }
        name, (first, *_) = row["pathology"], next(iter(parts.values()))
        where = f"{dataset['name']} {row['value']} {name}"
        check(f"{where} images", row["images"], len(first))
        check(f"{where} positives", row["positives"], int((first[f"label:{name}"] == 1).sum()))
        if row["missing"]:
            continue
        for title, said in row["auc"].items():
            check(f"{where} {title} AUC", said["value"], mean_auc(parts[title], name))
        for said in row["differences"]:
            gap = mean_auc(parts[said["arm"]], name) - mean_auc(parts[said["control"]], name)
            check(f"{where} {said['arm']} - {said['control']}", said["value"], gap)


def rank_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mann and Whitney's: fast enough for many resamples."""
    positives = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


def interval_faults(where: str, row: dict, arm: list, control: list) -> list[str]:
    """Whether the standard error is that of patients and seeds, and the interval some t's of it."""
    rng, name = np.random.default_rng(12), row["pathology"]
    known = (arm[0][f"label:{name}"] >= 0).to_numpy()
    labels = arm[0][f"label:{name}"].to_numpy()[known]
    places = np.array(pd.factorize(arm[0]["patient"])[0])[known]
    scores = [
        np.array([t[f"probability:{name}"].to_numpy()[known] for t in arms])
        for arms in (arm, control)
    ]
    groups = [np.flatnonzero(places == patient) for patient in range(places.max() + 1)]
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        drawn.append([[rank_auc(labels[rows], s[rows]) for s in arms] for arms in scores])
    resampled = np.array(drawn)  # [draws, 2, seeds]
    variance = float(resampled.mean(axis=2).dot([1, -1]).var())
    for number, arms in enumerate(scores):
        if (seeds := len(arms)) > 1:
            total = np.var([rank_auc(labels, s) for s in arms], ddof=1)
            apart = resampled[:, number] - resampled[:, number].mean(axis=1, keepdims=True)
            variance += max(0.0, total - apart.var(axis=0).sum() / (seeds - 1)) / seeds
    found, error = [], float(np.sqrt(variance))
    if not 0.8 <= row["error"] / error <= 1.25:
        found.append(f"{where}: the report says a standard error of {row['error']}, found {error}")
    below, above = row["value"] - row["low"], row["high"] - row["value"]
    if not all(LEAST <= side / error <= MOST for side in (below, above)):
        found.append(f"{where}: {row['low']} to {row['high']} is no 95 % interval of {error}")
    return found


def holm_faults(dataset: dict) -> list[str]:
    """The step-down rule, written out."""
    found = []
    seeds = {arm["title"]: len(arm["runs"]) for arm in dataset["arms"]}
    families: dict[tuple[str, str], list[dict]] = {}
    for row in dataset["comparisons"]:
        if row["target"] and not row["missing"] and row["p"] is not None:
            families.setdefault((row["arm"], row["control"]), []).append(row)
    for family in families.values():
        before = 0.0
        for place, row in enumerate(sorted(family, key=lambda row: row["p"])):
            before = max(before, min(1.0, row["p"] * (len(family) - place)))
            if abs(row["holm"] - before) > EXACT:
                found.append(f"{row['arm']} {row['pathology']}: Holm {row['holm']} is not {before}")
            sure = before <= 0.05
            if sure and min(seeds[row["arm"]], seeds[row["control"]]) < 2:
                sure = False
                row = row | {"verdict": "no evidence" if row["verdict"] == "one seed" else "?"}
            word = (
                "helped" if sure and row["low"] > 0
                else "hurt" if sure and row["high"] < 0
                else "no evidence"
            )  # fmt: skip
            if row["control"].partition(",")[0] != "none":  # only against none it helped or hurt
                word = {"helped": "better", "hurt": "worse"}.get(word, word)
            if row["verdict"] != word:
                found.append(f"{row['arm']} {row['pathology']}: {row['verdict']} is not {word}")
    return found


if __name__ == "__main__":
    differs = faults(json.loads(Path(sys.argv[1]).read_text()))
    print("\n".join(differs) or "All numbers are those of the predictions.")
    sys.exit(bool(differs))
