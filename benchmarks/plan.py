"""How long `xbuild plan` takes, process start included, and how far it is from the optimum.

    python benchmarks/plan.py                     # CheXpert, the paper's regimes; then every
                                                  # table that torchxrayvision ships, whole
    python benchmarks/plan.py --rows 10000000     # also a random table of that size

The expected optimum is an integer programme over expected counts (scipy's milp). The plan counts
the label vectors that were actually drawn, so it varies around that figure. Times are medians of
three runs.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp

from builder.labels import CHEXPERT, read_labels
from builder.split import split_patients

SHIPPED = {  # each with a target that can reach the share, since not all rare ones together can
    "chexpert": (),
    "nih": ("--target", "Mass"),
    "padchest": ("--target", "Nodule"),
    "vindr": ("--target", "Cardiomegaly"),
    "rsna": ("--target", "Pneumonia"),
}
XBUILD = str(Path(sys.executable).with_name("xbuild"))


def timed(*arguments: str, runs: int = 3) -> tuple[float, dict]:
    """Seconds of `xbuild plan`, and its plan."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        command = [XBUILD, "plan", "--json", *arguments]
        done = subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), json.loads(done.stdout)


def expected_optimum(labels: np.ndarray, targets: list[int], share: float) -> int:
    positive = labels[:, targets] == 1
    given = np.array([positive[positive[:, t]].mean(axis=0) for t in range(len(targets))])
    need = share * len(labels) - positive.sum(axis=0)
    ones = np.ones(len(targets))
    constraint = LinearConstraint(given.T - share, lb=need)
    return round(milp(ones, constraints=constraint, integrality=ones, bounds=Bounds(0)).fun)


def chexpert() -> None:
    table = read_labels("chexpert")
    print("regime      real  synthetic  expected optimum  difference  seconds")
    for regime in (1, 10, 50, 100):
        seconds, plan = timed("--dataset", "chexpert", "--regime", str(regime))
        train = split_patients(table.rows["patient"], regime=Fraction(regime)).train
        targets = [CHEXPERT.index(target["pathology"]) for target in plan["targets"]]
        best = expected_optimum(table.labels[train], targets, 0.15)
        print(
            f"{regime:4d} % {plan['real']:9,} {plan['synthetic']:10,} {best:17,} "
            f"{plan['synthetic'] / best - 1:+11.2%} {seconds:8.2f}"
        )


def shipped_tables() -> None:
    print("dataset   rows read  seconds")
    for dataset, targets in SHIPPED.items():
        seconds, plan = timed("--dataset", dataset, *targets)
        rows = sum(plan["split"].values())
        print(f"{dataset:9} {rows:9,} {seconds:8.2f}")


def random_table(rows: int) -> None:
    """Prints time and memory for a table with CheXpert's prevalences."""
    random = np.random.default_rng(0)
    prevalence = (read_labels("chexpert").labels == 1).mean(axis=0)
    columns = {name: random.random(rows) < p for name, p in zip(CHEXPERT, prevalence, strict=True)}
    frame = pd.DataFrame({name: column.astype(np.int8) for name, column in columns.items()})
    frame.insert(0, "image", [f"{i}.png" for i in range(rows)])
    frame.insert(1, "patient", random.integers(0, max(rows // 3, 1), rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.csv")
        frame.to_csv(path, index=False)
        del frame, columns
        seconds, plan = timed("--dataset", "table", "--labels", str(path), runs=1)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(
        f"{rows:,} rows: {plan['synthetic']:,} images in {seconds:.1f} s, peak memory {peak:.1f} GB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int)
    options = parser.parse_args()
    chexpert()
    shipped_tables()
    if options.rows:
        random_table(options.rows)
