"""How long the AUCs of 2,000 resamples of a test set take, compared with scikit-learn.

    python benchmarks/bootstrap.py                    # 22,000 images × 14 pathologies, two threads
    python benchmarks/bootstrap.py --images 200000

Labels and patients are the first rows of CheXpert's table, as torchxrayvision ships it. Scores are
random. scikit-learn computes the AUCs of a few resamples in the same run, and both must agree.
"""

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from builder.labels import CHEXPERT, read_labels
from trainer.evaluate.bootstrap import RESAMPLES, Counts, Floats, Scores, arm_aucs, resample
from trainer.stream.order import Rows

COMPARED = 3  # resamples that scikit-learn computes


def compared_seconds(
    labels: np.ndarray, scores: Scores, patients: Rows, counts: Counts, ours: Floats
) -> float:
    """Seconds in which scikit-learn would compute all resamples; `ours` [L, R] must agree."""
    began = time.perf_counter()
    for number in range(COMPARED):
        weight = counts[patients, number]
        for i in range(labels.shape[1]):
            known = (labels[:, i] >= 0) & (weight > 0)
            auc = roc_auc_score(labels[known, i], scores[0, known, i], sample_weight=weight[known])
            assert abs(auc - ours[i, number]) < 1e-6
    return (time.perf_counter() - began) / COMPARED * RESAMPLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=22_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    table = read_labels("chexpert")
    labels = table.labels[: options.images]
    patients = pd.factorize(table.rows["patient"][: options.images])[0]
    scores = np.random.default_rng(0).random((1, *labels.shape), np.float32)
    scores += np.float32(0.3) * (labels == 1)

    began = time.perf_counter()
    counts = resample(int(patients.max()) + 1, RESAMPLES, seed=0)
    aucs = arm_aucs(labels, scores, patients, counts, threads=options.threads).resampled[0]
    ours = time.perf_counter() - began
    theirs = compared_seconds(labels, scores, patients, counts, aucs)
    size = f"{len(labels):,} images of {patients.max() + 1:,} patients × {len(CHEXPERT)} labels"
    print(f"{size}: {ours:.1f} s for {RESAMPLES:,} resamples with {options.threads} threads")
    print(f"scikit-learn, one resample after another: {theirs:.0f} s ({theirs / ours:.0f} ×)")


if __name__ == "__main__":
    main()
