"""How rarely honest images pass the threshold, by simulation."""

import numpy as np
import pytest

from builder.audit.copies.threshold import TAIL_IMAGES, accused_of, can_judge, threshold_of


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
    fisher_z = honest(1000, 0)
    before = threshold_of(fisher_z, 0.001).value
    fisher_z[7] = 5
    assert before < threshold_of(fisher_z, 0.001).value < before + 0.6


def test_patients_judge_each_other() -> None:
    fisher_z = honest(400, 1)
    patients = np.array([f"p{i // 2}" for i in range(400)], np.object_)
    assert accused_of(fisher_z, patients, 0.001) == 0
    fisher_z[10:12] = 5
    assert accused_of(fisher_z, patients, 0.001) == 2


@pytest.mark.parametrize(
    ("sizes", "enough"),
    [
        ([25], False),  # one patient: nobody is left to judge
        ([24, 1], False),
        ([23, 2], False),
        ([3] * 9, False),
        ([2] * 10, True),
        ([400, *[1] * 11], False),  # those who judge the first are too few for a tail
        ([400, *[1] * 20], True),
    ],
)
def test_images_of_too_few_patients_do_not_judge(sizes: list[int], enough: bool) -> None:
    patients = np.repeat(np.array([f"p{i}" for i in range(len(sizes))], np.object_), sizes)
    assert can_judge(patients) is enough
    fisher_z = honest(len(patients), 3)
    fisher_z[0] = 9
    if enough:
        assert accused_of(fisher_z, patients, 0.001) == 1  # so every part was judged
        return
    with pytest.raises(AssertionError, match="hardly any image"):
        accused_of(fisher_z, patients, 0.001)


def test_whoever_may_judge_has_a_tail() -> None:
    random = np.random.default_rng(5)
    allowed = 0
    for _ in range(300):
        sizes = random.geometric(random.uniform(0.05, 0.9), random.integers(1, 40))
        patients = np.repeat([f"p{i}" for i in range(len(sizes))], sizes).astype(np.object_)
        if not can_judge(patients):
            continue
        allowed += 1
        fisher_z = honest(len(patients), 4)
        assert 0 <= accused_of(fisher_z, patients, 0.5) < len(patients)
        assert len(patients) > TAIL_IMAGES
    assert allowed > 50


def test_no_pair_is_never_suspect() -> None:
    fisher_z = honest(50, 2)
    threshold = threshold_of(fisher_z, 0.001)
    assert np.isneginf(threshold.similarity(np.full((2, 3, 3), -np.inf, np.float32))).all()
    same = threshold_of(np.ones((30, 3, 3), np.float32), 0.001)
    assert np.isfinite(same.value)
