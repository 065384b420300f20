import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from trainer.evaluate.bootstrap import arm_aucs, resample


def case(seed: int, ties: bool, share: float = 0.2) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (90, 2), p=(0.1, 0.9 - share, share)).astype(np.int8)
    scores = (rng.random((3, 90, 2)) + 0.4 * (labels == 1)).astype(np.float32)
    scores = np.round(scores, 1) if ties else scores
    return labels, scores, rng.permutation(np.arange(90) // 3), resample(30, 300, seed=seed)


@pytest.mark.parametrize("share", [0.2, 0.7])  # either class may be the smaller one
@pytest.mark.parametrize("ties", [False, True])
def test_every_auc_equals_sklearn_on_the_images_drawn(ties: bool, share: float) -> None:
    labels, scores, patients, counts = case(1, ties, share)
    found = arm_aucs(labels, scores, patients, counts)
    assert found.resampled.shape == (3, 2, 300)
    for s, i, number in [(0, 0, 0), (2, 0, 120), (1, 1, 255), (1, 1, 256), (2, 1, 299)]:
        rows = np.repeat(np.arange(90), counts[patients, number].astype(int))  # one per time drawn
        rows = rows[labels[rows, i] >= 0]
        expected = roc_auc_score(labels[rows, i], scores[s, rows, i])
        assert found.resampled[s, i, number] == pytest.approx(expected, abs=1e-12)
    known = labels[:, 1] >= 0
    expected = roc_auc_score(labels[known, 1], scores[2, known, 1])
    assert found.auc[2, 1] == pytest.approx(expected, abs=1e-12)


def test_it_equals_a_naive_loop_over_pairs_and_does_not_depend_on_threads() -> None:
    labels, scores, patients, counts = case(2, ties=True)
    one, four = (arm_aucs(labels, scores, patients, counts, threads=n) for n in (1, 4))
    assert np.array_equal(one.resampled, four.resampled)
    weight, score = counts[patients, 11], scores[0, :, 1]
    wins = pairs = 0.0
    for i in np.flatnonzero(labels[:, 1] == 1):
        for j in np.flatnonzero(labels[:, 1] == 0):
            w = float(weight[i] * weight[j])
            wins += w * ((score[i] > score[j]) + 0.5 * (score[i] == score[j]))
            pairs += w
    assert one.resampled[0, 1, 11] == pytest.approx(wins / pairs, abs=1e-12)


def test_a_resample_without_a_class_has_no_auc() -> None:
    labels, scores = np.array([[1], [0], [0]], np.int8), np.array([0.9, 0.1, 0.2], np.float32)
    counts = np.array([[0, 1], [2, 1], [1, 1]], np.float32)
    found = arm_aucs(labels, scores[None, :, None], np.arange(3), counts)
    assert math.isnan(found.resampled[0, 0, 0])
    assert found.resampled[0, 0, 1] == 1
    assert found.patients == 1  # has a positive


def test_a_pathology_without_positives_has_no_auc() -> None:
    labels = np.array([[0, 1], [0, 0], [-1, -1]], np.int8)
    scores = np.ones((1, 3, 2), np.float32)
    found = arm_aucs(labels, scores, np.arange(3), resample(3, 5, seed=0))
    assert np.isnan(found.auc[0, 0])
    assert np.isnan(found.resampled[0, 0]).all()
    assert found.auc[0, 1] == 0.5


def test_resamples_draw_as_many_patients_as_there_are_evenly_and_by_seed() -> None:
    counts = resample(40, 500, seed=1)
    assert counts.dtype == np.float32
    assert (counts.sum(axis=0) == 40).all()
    assert counts.var() == pytest.approx(1, abs=0.05)  # binomial
    assert np.array_equal(counts[:, :20], resample(40, 20, seed=1))
    assert not np.array_equal(counts, resample(40, 500, seed=2))
