"""The numbers of a report again, from predictions.parquet alone and without the package.

    python tests/trainer/report/recompute.py report.json     # prints what differs, exit code 1

pandas and scikit-learn on the images as they are: AUCs and their differences, of all test images
and of subgroups, and the figures and curves beside them. A bootstrap of its own, with other draws
and written the slow way, for the standard errors of the targets' differences, which therefore agree
within its noise and not exactly. From the report's error the degrees of freedom follow; intervals
and p-values are compared with those of Student's t with both, where ten patients or more have the
pathology. Holm's p and the verdicts follow from the raw p. Not recomputed: the intervals of AUCs,
of other pathologies and of subgroups.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata, t
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

DRAWS = 300
EXACT = 1e-9
ROUNDING = 1e-6  # of a ratio
NOISE = 0.4  # by which variances of so few draws may differ
SHARE = 0.3  # by which their shares may
ROUNDED = 0.5001e-4  # points of ROC curves have four decimals
WIDTH = 0.12  # by which a percentile interval may differ from Student's: one of 90 % does by 0.16
DEVIATES = 0.5  # standard normal deviates, by which their p-values may
ENOUGH = 10  # patients with the pathology: of fewer, resamples are too askew for Student


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
            rest = [tables[title] for title in tables if title not in (row["arm"], row["control"])]
            name = row["pathology"]
            check(where, row["value"], mean_auc(arm, name) - mean_auc(control, name))
            if row["target"] and row["p"] is not None:
                wrong += interval_faults(where, row, arm, control, rest)
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


def interval_faults(where: str, row: dict, arm: list, control: list, rest: list[list]) -> list[str]:
    """Whether the standard error is that of patients and seeds, and the interval some t's of it."""
    rng, name = np.random.default_rng(12), row["pathology"]
    known = (arm[0][f"label:{name}"] >= 0).to_numpy()
    labels = arm[0][f"label:{name}"].to_numpy()[known]
    places = np.array(pd.factorize(arm[0]["patient"])[0])[known]
    scores = [
        np.array([t[f"probability:{name}"].to_numpy()[known] for t in arms])
        for arms in (arm, control, *(rest if 2 in (len(arm), len(control)) else ()))
    ]
    groups = [np.flatnonzero(places == patient) for patient in range(places.max() + 1)]
    drawn = []
    while len(drawn) < DRAWS:
        rows = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        if 0 < labels[rows].sum() < len(rows):  # a resample may miss a class
            drawn.append([[rank_auc(labels[rows], s[rows]) for s in arms] for arms in scores])
    resampled = [np.array(arms) for arms in zip(*drawn, strict=True)]  # [draws, seeds] of each
    aucs = [[rank_auc(labels, s) for s in arms] for arms in scores]
    seeds, with_patients, doubt = of_seeds(aucs, resampled)
    moved = resampled[0].mean(axis=1) - resampled[1].mean(axis=1)
    variance = seeds + max(0.0, moved.var() - with_patients)
    noise = NOISE * (moved.var() + with_patients) + EXACT
    if not abs(row["error"] ** 2 - variance) <= noise:
        error = np.sqrt(variance)
        return [f"{where}: the report says a standard error of {row['error']}, found {error}"]
    if row["error"] <= EXACT:
        return []
    ill = min(len({*places[labels == value]}) for value in (0, 1))
    cases = row["error"] ** 2 - seeds  # all but the resamples is exact
    if cases < -EXACT:
        return [f"{where}: {row['error']}² is less than the seeds' own {seeds}"]
    degrees = row["error"] ** 4 / (cases**2 / (ill - 1) + doubt)
    found = []
    share = max(0.0, 1 - moved.var() / row["error"] ** 2)
    if not abs(row["seed_share"] - share) <= SHARE:
        found.append(f"{where}: the seeds' part is said to be {row['seed_share']}, found {share}")
    if not abs(row["degrees"] / degrees - 1) <= ROUNDING:
        found.append(f"{where}: the report says {row['degrees']} degrees of freedom, not {degrees}")
    if ill >= ENOUGH:
        found += [f"{where}: {words}" for words in students_faults(row)]
    return found


def of_seeds(aucs: list[list[float]], resampled: list[np.ndarray]) -> tuple[float, float, float]:
    """What seeds add to the variance of a difference; of it, with the patients; and its doubt.

    Of the arm, its control and others. Where one of the two has two seeds, one variance of logits
    is taken for the seeds of all arms. Doubt is variance² over degrees of freedom.
    """
    slopes = [np.mean(arm) * (1 - np.mean(arm)) for arm in aucs]
    parts = [
        (
            len(arm) - 1 if slope else 0,  # logits of perfect seeds tell nothing
            len(arm) * np.var(arm) / (slope or 1) ** 2,
            (drawn.T - drawn.mean(axis=1)).var(axis=1).sum() / (slope or 1) ** 2,
        )
        for arm, drawn, slope in zip(aucs, resampled, slopes, strict=True)
    ]
    several = [i for i in (0, 1) if parts[i][0]]
    of_both = [(slopes[i] ** 2 / len(aucs[i]), *parts[i]) for i in several]
    if any(len(aucs[i]) == 2 for i in several):
        of_both = [(sum(share for share, *_ in of_both), *np.sum(parts, axis=0))]
    share, degrees, squares, with_patients = np.array(of_both).reshape(-1, 4).T
    own = share * squares / degrees
    return own.sum(), (share * with_patients / degrees).sum(), (own**2 / degrees).sum()


def students_faults(row: dict) -> list[str]:
    """Whether interval and p are about those of Student's t."""
    found = []
    reach = t.ppf(0.975, row["degrees"]) * row["error"]
    half, inside = (row["high"] - row["low"]) / 2, row["low"] > -1 and row["high"] < 1
    if inside and not abs(half / reach - 1) <= WIDTH:
        found.append(f"{row['low']} to {row['high']} is not ± {reach}")
    p = 2 * t.sf(abs(row["value"]) / row["error"], row["degrees"])
    if not abs(norm.isf(row["p"] / 2) - norm.isf(p / 2)) <= DEVIATES:
        found.append(f"p {row['p']} is not about {p}")
    return found


def plain(dataset: dict, arm: str, control: str) -> bool:
    """Whether the control has the real images alone and was else trained as the arm was."""
    first = {a["title"]: a["runs"][0]["config"] for a in dataset["arms"]}
    same = all(first[arm][key] == first[control][key] for key in ("augment", "mix", "steps"))
    return same and first[control]["arm"] in ("none", "flip")


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
            if not plain(dataset, row["arm"], row["control"]):  # else it cannot have helped
                word = {"helped": "better", "hurt": "worse"}.get(word, word)
            if row["verdict"] != word:
                found.append(f"{row['arm']} {row['pathology']}: {row['verdict']} is not {word}")
    return found


if __name__ == "__main__":
    differs = faults(json.loads(Path(sys.argv[1]).read_text()))
    print("\n".join(differs) or "All numbers are those of the predictions.")
    sys.exit(bool(differs))
