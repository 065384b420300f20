"""The numbers of a report, computed again from predictions.parquet alone and without the package.

    python tests/trainer/report/recompute.py report.json     # prints what differs, exit code 1

AUCs, their differences, the other figures and the curves: with pandas and scikit-learn, on all
test images and on subgroups. Standard errors of the targets' differences: by a bootstrap of its own
with other draws, so that they agree within its noise and not exactly. The degrees of freedom follow
from the report's error; intervals and p-values are compared with those of Student's t where ten
patients or more have the pathology. Holm's p and the verdicts follow from the raw p. Not
recomputed: intervals of AUCs, of other pathologies and of subgroups.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
FIGURES = ("average_precision", "calibration_error", "sensitivity")
ENOUGH = 10  # patients with the pathology; resamples of fewer are too skewed for Student

Facts = dict[str, Any]  # JSON
Tables = list[pd.DataFrame]  # the test images as each seed of an arm scored them
Check = Callable[..., None]
Array = np.ndarray


def test_rows(folder: str) -> pd.DataFrame:
    table = pd.read_parquet(Path(folder) / "predictions.parquet")
    return table[table.split == "test"].reset_index(drop=True)


def read(dataset: Facts) -> dict[str, Tables]:
    """The test images of every arm and seed; a label is unknown where any run has none."""
    tables = {
        arm["title"]: [test_rows(run["folder"]) for run in arm["runs"]] for arm in dataset["arms"]
    }
    runs = [table for seeds in tables.values() for table in seeds]
    for name in dataset["positives"]:
        unknown = np.any([table[f"label:{name}"] < 0 for table in runs], axis=0)
        for table in runs:
            table.loc[unknown, f"label:{name}"] = -1
    return tables


def known(table: pd.DataFrame, name: str) -> tuple[Array, Array]:
    """Labels and probabilities where the label is known."""
    part = table[table[f"label:{name}"] >= 0]
    return part[f"label:{name}"].to_numpy(), part[f"probability:{name}"].to_numpy()


def mean_auc(tables: Tables, name: str) -> float:
    return float(np.mean([roc_auc_score(*known(table, name)) for table in tables]))


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


def faults(report: Facts) -> list[str]:
    """The numbers of the report that do not follow from the predictions."""
    wrong: list[str] = []

    def check(what: str, said: float, found: float, tolerance: float = EXACT) -> None:
        if not abs(said - found) <= tolerance:
            wrong.append(f"{what}: the report says {said}, the predictions {found}")

    for dataset in report["datasets"]:
        tables = read(dataset)
        for arm in dataset["arms"]:
            for name, said in arm["pathologies"].items():
                here, where = tables[arm["title"]], f"{dataset['name']} {arm['title']} {name}"
                labels = here[0][f"label:{name}"]
                positives = int((labels == 1).sum())
                check(f"{where} positives", dataset["positives"][name]["positives"], positives)
                if said["auc"]:
                    check_figures(check, where, said, here, name, report["settings"])
                elif positives >= report["settings"]["min_positives"] and (labels == 0).any():
                    wrong.append(f"{where}: no figure for {positives} positives")
        for row in dataset["comparisons"]:
            if not row["missing"]:
                wrong += [*comparison_faults(check, dataset["name"], row, tables)]
        check_subgroups(check, dataset, tables)
        wrong += holm_faults(dataset)
    return wrong


def check_figures(
    check: Check, where: str, said: Facts, here: Tables, name: str, settings: Facts
) -> None:
    """AUC, other figures and curves of an arm's pathology."""
    check(f"{where} AUC", said["auc"]["value"], mean_auc(here, name))
    for auc, table in zip(said["auc_of_seeds"], here, strict=True):
        check(f"{where} AUC of a seed", auc, mean_auc([table], name))
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


def comparison_faults(
    check: Check, dataset: str, row: Facts, tables: dict[str, Tables]
) -> Iterator[str]:
    """The difference of an arm and its control, and of a target its interval and p."""
    where = f"{dataset} {row['arm']} - {row['control']} {row['pathology']}"
    arm, control = tables[row["arm"]], tables[row["control"]]
    gap = mean_auc(arm, row["pathology"]) - mean_auc(control, row["pathology"])
    check(where, row["value"], gap)
    if row["target"] and row["p"] is not None:
        rest = [tables[title] for title in tables if title not in (row["arm"], row["control"])]
        yield from (f"{where}: {fault}" for fault in interval_faults(row, arm, control, rest))


def rank_auc(labels: Array, scores: Array) -> float:
    """Mann and Whitney's, which is fast enough for many resamples."""
    positives = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


def interval_faults(row: Facts, arm: Tables, control: Tables, rest: list[Tables]) -> Iterator[str]:
    """Whether the standard error is that of patients and seeds, and the interval a t's of it."""
    name = row["pathology"]
    labels, _ = known(arm[0], name)
    places = np.array(pd.factorize(arm[0]["patient"])[0])[arm[0][f"label:{name}"] >= 0]
    every = (arm, control, *(rest if 2 in (len(arm), len(control)) else ()))
    scores = [np.array([known(table, name)[1] for table in seeds]) for seeds in every]
    aucs = [[rank_auc(labels, s) for s in seeds] for seeds in scores]
    resampled = bootstrap(labels, places, scores)
    seeds, with_patients, df_part = of_seeds(aucs, resampled)
    gap_variance = (resampled[0].mean(axis=1) - resampled[1].mean(axis=1)).var()
    variance = seeds + max(0.0, gap_variance - with_patients)
    if not abs(row["error"] ** 2 - variance) <= NOISE * (gap_variance + with_patients) + EXACT:
        yield f"the report says a standard error of {row['error']}, found {np.sqrt(variance)}"
        return
    patients = row["error"] ** 2 - seeds  # everything but the resamples is exact
    if patients < -EXACT:
        yield f"{row['error']}² is less than the seeds' own {seeds}"
    if patients < -EXACT or row["error"] <= EXACT:
        return
    fewer = min(len({*places[labels == value]}) for value in (0, 1))
    degrees = row["error"] ** 4 / (patients**2 / (fewer - 1) + df_part)
    share = max(0.0, 1 - gap_variance / row["error"] ** 2)
    if not abs(row["seed_share"] - share) <= SHARE:
        yield f"the report says a seeds' share of {row['seed_share']}, found {share}"
    if not abs(row["degrees"] / degrees - 1) <= ROUNDING:
        yield f"the report says {row['degrees']} degrees of freedom, not {degrees}"
    if fewer >= ENOUGH:
        yield from students_faults(row)


def bootstrap(labels: Array, places: Array, scores: list[Array]) -> list[Array]:
    """The AUCs [draws, seeds] of each arm in resamples of the patients."""
    rng, drawn = np.random.default_rng(12), list[list[list[float]]]()
    groups = [np.flatnonzero(places == patient) for patient in range(places.max() + 1)]
    while len(drawn) < DRAWS:
        rows = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        if 0 < labels[rows].sum() < len(rows):  # a resample may miss a class
            drawn.append([[rank_auc(labels[rows], s[rows]) for s in seeds] for seeds in scores])
    return [np.array(seeds) for seeds in zip(*drawn, strict=True)]


def of_seeds(aucs: list[list[float]], resampled: list[Array]) -> tuple[float, float, float]:
    """Variance that seeds add to a difference; its part with patients; variance² over degrees.

    Of the arm, its control and others. Where one of the two has two seeds, one variance of logits
    is taken for the seeds of all arms.
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


def students_faults(row: Facts) -> Iterator[str]:
    """Whether interval and p are close to those of Student's t."""
    reach = t.ppf(0.975, row["degrees"]) * row["error"]
    half, inside = (row["high"] - row["low"]) / 2, row["low"] > -1 and row["high"] < 1
    if inside and not abs(half / reach - 1) <= WIDTH:
        yield f"{row['low']} to {row['high']} is not ± {reach}"
    p = 2 * t.sf(abs(row["value"]) / row["error"], row["degrees"])
    if not abs(norm.isf(row["p"] / 2) - norm.isf(p / 2)) <= DEVIATES:
        yield f"p {row['p']} is not about {p}"


def holm_faults(dataset: Facts) -> Iterator[str]:
    """The step-down rule, written out, and the verdict that follows."""
    families: dict[tuple[str, str], list[Facts]] = {}
    for row in dataset["comparisons"]:
        if row["target"] and not row["missing"] and row["p"] is not None:
            families.setdefault((row["arm"], row["control"]), []).append(row)
    for family in families.values():
        before = 0.0
        for place, row in enumerate(sorted(family, key=lambda row: row["p"])):
            before = max(before, min(1.0, row["p"] * (len(family) - place)))
            if abs(row["holm"] - before) > EXACT:
                yield f"{row['arm']} {row['pathology']}: Holm {row['holm']} is not {before}"
            word = verdict(dataset, row, before)
            if row["verdict"] != word:
                yield f"{row['arm']} {row['pathology']}: {row['verdict']} is not {word}"


def verdict(dataset: Facts, row: Facts, holm: float) -> str:
    """Helped or hurt, if the control has real images alone and was otherwise trained alike."""
    runs = {arm["title"]: arm["runs"] for arm in dataset["arms"]}
    arm, control = runs[row["arm"]], runs[row["control"]]
    if not (holm <= 0.05 and (row["low"] > 0 or row["high"] < 0)):
        return "no evidence"
    if min(len(arm), len(control)) < 2:
        return "one seed"
    ours, theirs = arm[0]["config"], control[0]["config"]
    alike = all(ours[key] == theirs[key] for key in ("augment", "mix", "steps"))
    if alike and theirs["arm"] in ("none", "flip"):
        return "helped" if row["low"] > 0 else "hurt"
    return "better" if row["low"] > 0 else "worse"


if __name__ == "__main__":
    differs = faults(json.loads(Path(sys.argv[1]).read_text()))
    print("\n".join(differs) or "All numbers are those of the predictions.")
    sys.exit(bool(differs))
