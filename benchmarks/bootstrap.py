"""How long the AUCs of 2,000 resamples of a test set take, beside scikit-learn's.

    python benchmarks/bootstrap.py                    # 22,000 images × 14 pathologies, two threads
    python benchmarks/bootstrap.py --images 200000

Labels and patients are those of the start of CheXpert's table, as torchxrayvision ships it;
scores are drawn. scikit-learn computes a few resamples in the same run, and the same numbers.
"""

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from builder.labels import CHEXPERT, read_labels
from trainer.evaluate.bootstrap import RESAMPLES, arm_aucs, resample

FEW = 3  # resamples by scikit-learn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=22_000)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    table = read_labels("chexpert")
    labels = table.labels[: asked.images]
    patients = pd.factorize(table.rows["patient"][: asked.images])[0]
    scores = np.random.default_rng(0).random((1, *labels.shape), np.float32)
    scores += np.float32(0.3) * (labels == 1)

    began = time.perf_counter()
    counts = resample(int(patients.max()) + 1, RESAMPLES, seed=0)
    found = arm_aucs(labels, scores, patients, counts, threads=asked.threads).resampled[0]
    ours = time.perf_counter() - began

    began = time.perf_counter()
    for number in range(FEW):
        weight = counts[patients, number]
        for i in range(len(CHEXPERT)):
            known = (labels[:, i] >= 0) & (weight > 0)
            auc = roc_auc_score(labels[known, i], scores[0, known, i], sample_weight=weight[known])
            assert abs(auc - found[i, number]) < 1e-6
    theirs = (time.perf_counter() - began) / FEW * RESAMPLES
    size = f"{len(labels):,} images of {patients.max() + 1:,} patients × {len(CHEXPERT)}"
    print(f"{size}: {ours:.1f} s for {RESAMPLES:,} resamples with {asked.threads} threads")
    print(f"scikit-learn, one resample after another: {theirs:.0f} s ({theirs / ours:.0f} ×)")


if __name__ == "__main__":
    main()
