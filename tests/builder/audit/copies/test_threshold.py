"""How rarely honest images pass the threshold, by simulation."""

import numpy as np
import pytest

from builder.audit.copies.threshold import accused_of, threshold_of


def honest(count: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(1, 0.2, (count, 3, 3))
    return values.astype(np.float32)


@pytest.mark.parametrize("count", [20, 300, 3000])
def test_few_honest_images_pass(count: int) -> None:
    passed = []
    others = honest(20_000, 99)
    for seed in range(10):
        threshold = threshold_of(honest(count, seed), 0.001)
        passed.append((threshold.similarity(others).max(axis=1) > threshold.value).mean())
    assert np.mean(passed) < 0.001
    if count > 1000:
        assert np.mean(passed) > 0.00005  # not for nothing


def test_images_in_both_sets_hardly_move_it() -> None:
    alike = honest(1000, 0)
    before = threshold_of(alike, 0.001).value
    alike[7] = 5
    assert before < threshold_of(alike, 0.001).value < before + 0.6


def test_patients_judge_each_other() -> None:
    alike = honest(400, 1)
    patients = np.array([f"p{i // 2}" for i in range(400)], np.object_)
    assert accused_of(alike, patients, 0.001) == 0
    alike[10:12] = 5
    assert accused_of(alike, patients, 0.001) == 2


def test_no_pair_is_never_suspect() -> None:
    alike = honest(50, 2)
    threshold = threshold_of(alike, 0.001)
    assert np.isneginf(threshold.similarity(np.full((2, 3, 3), -np.inf, np.float32))).all()
    same = threshold_of(np.ones((30, 3, 3), np.float32), 0.001)
    assert np.isfinite(same.value)
