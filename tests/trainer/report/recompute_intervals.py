"""A difference of two arms computed again: its AUCs, its interval, its p and Holm's correction.

With a bootstrap of its own and without the package. `recompute.py` and `recompute_across.py` use it
on a dataset's own test images, on those of another dataset, and on variants.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata, t

DRAWS = 300
EXACT = 1e-9
ROUNDING = 1e-6  # of a ratio
NOISE = 0.4  # by which variances of so few draws may differ
SHARE = 0.3  # by which their shares may
WIDTH = 0.12  # by which a percentile interval may differ from Student's: one of 90 % does by 0.16
DEVIATES = 0.5  # standard normal deviates, by which their p-values may
ENOUGH = 10  # patients with the pathology; resamples of fewer are too skewed for Student

Facts = dict[str, Any]  # JSON
Tables = list[pd.DataFrame]  # the test images as each seed of an arm scored them
Check = Callable[..., None]
Array = np.ndarray


def read_seeds(files: Mapping[str, Sequence[Path]], names: Sequence[str]) -> dict[str, Tables]:
    """The test images of every arm and seed; a label is unknown where any run has none."""
    tables = {title: [test_rows(path) for path in seeds] for title, seeds in files.items()}
    runs = [table for seeds in tables.values() for table in seeds]
    for name in names:
        unknown = np.any([table[f"label:{name}"] < 0 for table in runs], axis=0)
        for table in runs:
            table.loc[unknown, f"label:{name}"] = -1
    return tables


def test_rows(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    return table[table.split == "test"].reset_index(drop=True)


def patients(table: pd.DataFrame) -> Array:
    """A number from 0 for the patient of each image; an image without one is its own."""
    names = table["patient"].where(table["patient"] != "", table["key"])
    return np.array(pd.factorize(names)[0])


def known(table: pd.DataFrame, name: str) -> tuple[Array, Array]:
    """Labels and probabilities where the label is known."""
    labels, scores = (table[f"{kind}:{name}"].to_numpy() for kind in ("label", "probability"))
    return labels[labels >= 0], scores[labels >= 0]


def enough(table: pd.DataFrame, name: str, settings: Facts) -> bool:
    """Whether there are figures of a pathology."""
    labels = table[f"label:{name}"]
    return bool((labels == 1).sum() >= settings["min_positives"] and (labels == 0).any())


def mean_auc(tables: Tables, name: str) -> float:
    return float(np.mean([rank_auc(*known(table, name)) for table in tables]))


def rank_auc(labels: Array, scores: Array) -> float:
    """Mann and Whitney's, which takes a tenth of scikit-learn's time."""
    positives = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


def difference_faults(
    check: Check, where: str, row: Facts, arm: Tables, control: Tables, rest: Sequence[Tables]
) -> Iterator[str]:
    """A difference, and where the row has a p its interval; `rest`: the study's other arms."""
    gap = mean_auc(arm, row["pathology"]) - mean_auc(control, row["pathology"])
    check(where, row["value"], gap)
    if row["p"] is not None:
        yield from (f"{where}: {fault}" for fault in interval_faults(row, arm, control, rest))


def interval_faults(
    row: Facts, arm: Tables, control: Tables, rest: Sequence[Tables]
) -> Iterator[str]:
    """Whether the standard error is that of patients and seeds, and the interval a t's of it."""
    name = row["pathology"]
    labels, _ = known(arm[0], name)
    places = patients(arm[0])[arm[0][f"label:{name}"] >= 0]
    every = (arm, control, *(rest if 2 in (len(arm), len(control)) else ()))
    scores = [[known(table, name)[1] for table in seeds] for seeds in every]
    aucs = [[rank_auc(labels, seed) for seed in seeds] for seeds in scores]
    resampled = bootstrap(labels, places, scores)
    seeds, with_patients, df_part = of_seeds(aucs, resampled)
    gap_variance = (resampled[0].mean(axis=1) - resampled[1].mean(axis=1)).var()
    variance = seeds + max(0.0, gap_variance - with_patients)
    if not abs(row["error"] ** 2 - variance) <= NOISE * (gap_variance + with_patients) + EXACT:
        yield f"the report says a standard error of {row['error']}, found {np.sqrt(variance)}"
        return
    of_patients = row["error"] ** 2 - seeds  # everything but the resamples is exact
    if of_patients < -EXACT:
        yield f"{row['error']}² is less than the seeds' own {seeds}"
    if of_patients < -EXACT or row["error"] <= EXACT:
        return
    fewer = min(len({*places[labels == value]}) for value in (0, 1))
    degrees = row["error"] ** 4 / (of_patients**2 / (fewer - 1) + df_part)
    share = max(0.0, 1 - gap_variance / row["error"] ** 2)
    if not abs(row["seed_share"] - share) <= SHARE:
        yield f"the report says a seeds' share of {row['seed_share']}, found {share}"
    if not abs(row["degrees"] / degrees - 1) <= ROUNDING:
        yield f"the report says {row['degrees']} degrees of freedom, not {degrees}"
    if fewer >= ENOUGH:
        yield from students_faults(row)


def bootstrap(labels: Array, places: Array, scores: list[list[Array]]) -> list[Array]:
    """The AUCs [draws, seeds] of each arm in resamples of the patients that miss no class."""
    rng, people = np.random.default_rng(12), places.max() + 1
    times = np.array(
        [np.bincount(rng.integers(people, size=people), minlength=people) for _ in range(DRAWS)]
    ).T[places]
    whole = (times[labels == 1].sum(axis=0) > 0) & (times[labels == 0].sum(axis=0) > 0)
    return [weighted_aucs(labels, seeds, times[:, whole]) for seeds in scores]


def weighted_aucs(labels: Array, scores: list[Array], weights: Array) -> Array:
    """[draws, seeds]: the same, where an image counts as often as weights [N, draws]."""
    positives, negatives = weights[labels == 1].astype(float), weights[labels == 0].astype(float)
    found = []
    for seed in scores:
        order = np.argsort(seed[labels == 0])
        below = np.concatenate([np.zeros((1, weights.shape[1])), negatives[order].cumsum(axis=0)])
        ends = [np.searchsorted(seed[labels == 0][order], seed[labels == 1], side=side)
                for side in ("left", "right")]  # fmt: skip
        wins = (positives * (below[ends[0]] + below[ends[1]]) / 2).sum(axis=0)
        found.append(wins / (positives.sum(axis=0) * below[-1]))
    return np.array(found).T


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


def holm_faults(family: Sequence[Facts], word: Callable[[Facts, float], str]) -> Iterator[str]:
    """The step-down rule over the targets of one pair, written out, and the verdict that follows.

    `word` is the verdict on a row with an adjusted p.
    """
    before, tested = 0.0, [row for row in family if row["p"] is not None]
    for place, row in enumerate(sorted(tested, key=lambda row: row["p"])):
        before = max(before, min(1.0, row["p"] * (len(tested) - place)))
        if abs(row["holm"] - before) > EXACT:
            yield f"{row['arm']} {row['pathology']}: Holm {row['holm']} is not {before}"
        if row["verdict"] != word(row, before):
            yield f"{row['arm']} {row['pathology']}: {row['verdict']} is not {word(row, before)}"
    for row in family:
        if row["p"] is None and (row["verdict"], row["holm"]) != ("no verdict", None):
            said = f"Holm {row['holm']} and {row['verdict']}"
            yield f"{row['arm']} {row['pathology']}: {said} without a p"


def is_effect(row: Facts, holm: float) -> bool:
    """Whether the interval excludes 0 and the adjusted p is at most 0.05."""
    return bool(holm <= 0.05 and (row["low"] > 0 or row["high"] < 0))
