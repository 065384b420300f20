import numpy as np
import numpy.typing as npt
import pytest
import torch

from builder.audit.chance import flips, p_value, shuffled
from builder.audit.neighbours import (
    K,
    flipped_overlaps,
    near_of,
    overlap,
    overlap_figures,
    overlap_variances,
)

Features = npt.NDArray[np.float32]


def normal(count: int, seed: int, spread: float = 1) -> Features:
    return np.random.default_rng(seed).normal(0, spread, (count, 5)).astype(np.float32)


def test_they_agree_with_prdc_and_torch_fidelity(capsys: pytest.CaptureFixture[str]) -> None:
    from prdc import compute_prdc
    from torch_fidelity.metric_prc import prc_features_to_metric

    x, y = normal(250, 0, 0.7), normal(300, 1)
    found = overlap_figures(overlap(near_of(x), near_of(y)))
    other = compute_prdc(y, x, nearest_k=K)
    capsys.readouterr()  # it prints
    names = ("precision", "recall", "density", "coverage")
    assert found == pytest.approx([other[name] for name in names])
    two = torch.from_numpy(x), torch.from_numpy(y)
    third = prc_features_to_metric(*two, prc_neighborhood=K, verbose=False)
    assert found[:2] == pytest.approx([third["precision"], third["recall"]])


def test_figures_of_a_part_are_those_of_the_part_alone() -> None:
    x, y = normal(100, 0, 0.7), normal(120, 1)
    some, others = np.arange(100) % 7 > 0, np.arange(120) % 5 > 0
    found = overlap(near_of(x), near_of(y)).figures(some, others)
    assert found == pytest.approx(overlap_figures(overlap(near_of(x[some]), near_of(y[others]))))


def test_images_that_are_all_the_same_cover_nothing() -> None:
    found = overlap_figures(overlap(near_of(np.zeros((30, 5))), near_of(normal(80, 1))))
    assert found[1] == 0
    assert found[3] < 0.5


def test_intervals_hold_what_is_expected_of_as_many_images_in_19_of_20_cases() -> None:
    values, variances = [], []
    for i in range(80):
        x, y = normal(150, 2 * i, 0.8), normal(150, 2 * i + 1)
        found = overlap(near_of(x), near_of(y))
        values.append(overlap_figures(found))
        variances.append(
            overlap_variances(found, shuffled(150, i, "parts"), shuffled(150, i, "real"))
        )
    inside = np.abs(values - np.mean(values, axis=0)) < 1.96 * np.sqrt(variances)
    assert (inside.mean(axis=0) >= 0.87).all(), inside.mean(axis=0)


def test_flips_compare_what_two_sets_would_be_with_pairs_that_change_sides() -> None:
    x, y, real = normal(60, 0, 0.6), normal(60, 1), normal(90, 2)
    signs = flips(60, 0)[:3]
    null = flipped_overlaps(x, y, near_of(real), signs)
    for sign, values in zip(signs, null, strict=True):
        swapped = [np.where(sign[:, None] > 0, *two) for two in ((x, y), (y, x))]
        sides = [overlap_figures(overlap(near_of(part), near_of(real))) for part in swapped]
        assert values == pytest.approx(sides[0] - sides[1])


def test_honest_sets_differ_in_one_of_twenty_cases_and_narrow_ones_miss_real_images() -> None:
    signs = flips(60, 0)[:99]

    def chances(seed: int, spread: float) -> list[float]:
        sets = normal(60, 3 * seed, spread), normal(60, 3 * seed + 1), normal(80, 3 * seed + 2)
        real = near_of(sets[2])
        null = flipped_overlaps(sets[0], sets[1], real, signs)
        values = [overlap_figures(overlap(near_of(part), real)) for part in sets[:2]]
        found = values[0] - values[1]
        return [p_value(float(found[i]), null[:, i], "less") for i in range(4)]

    honest = np.array([chances(i, 1) for i in range(40)])
    assert ((honest <= 0.05).mean(axis=0) <= 0.14).all()
    narrow = np.array([chances(i, 0.3) for i in range(3)])
    assert (narrow[:, 1] <= 0.05).all()
