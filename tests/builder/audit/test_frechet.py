import numpy as np
import numpy.typing as npt
import pytest
import torch

from builder.audit.chance import chance_of, flips
from builder.audit.frechet import fid, fid_differences, moments, real_of

Features = npt.NDArray[np.float32]


def normal(count: int, seed: int, mean: float = 0, spread: float = 1) -> Features:
    random = np.random.default_rng(seed)
    mixed = random.normal(mean, spread, (count, 6)) @ np.random.default_rng(9).normal(size=(6, 6))
    return mixed.astype(np.float32)


def test_it_agrees_with_torch_fidelity_and_torchmetrics() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torchmetrics.image.fid import _compute_fid

    x, y = normal(300, 0), normal(200, 1, 0.3, 1.2)
    statistics = [fid_features_to_statistics(torch.from_numpy(part)) for part in (x, y)]
    other = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    one, two = moments(x), moments(y)
    found, _ = fid(x, real_of(y))
    assert found == pytest.approx(other, rel=1e-5)
    tensors = [torch.from_numpy(part) for m in (one, two) for part in (m.mean, m.covariance)]
    assert found == pytest.approx(float(_compute_fid(*tensors)), rel=1e-8)


def test_equal_sets_are_at_no_distance_even_with_fewer_images_than_features() -> None:
    few = normal(4, 0)
    assert fid(few, real_of(few))[0] == pytest.approx(0, abs=1e-4)
    assert np.isfinite(fid(few, real_of(normal(5, 1)))).all()


def test_intervals_hold_what_is_expected_of_as_many_images_in_19_of_20_cases() -> None:
    cases = [fid(normal(150, 2 * i, 0.3), real_of(normal(200, 2 * i + 1))) for i in range(150)]
    values, variances = np.array(cases).T
    assert variances.mean() == pytest.approx(values.var(ddof=1), rel=0.4)
    inside = np.abs(values - values.mean()) < 1.96 * np.sqrt(variances)
    assert 0.88 <= inside.mean() <= 0.99


def test_differences_are_the_first_order_change_where_pairs_change_sides() -> None:
    x, y, real = normal(150, 0, 0.2), normal(150, 1), real_of(normal(300, 2))
    exact = fid(x, real)[0] - fid(y, real)[0]
    # A sum over n images each, to a mean
    assert fid_differences(x, y, real).sum() / 150 == pytest.approx(exact, rel=0.15)


def test_honest_sets_differ_in_one_of_twenty_cases_and_narrow_ones_always() -> None:
    signs = flips(80, 0)

    def chance(seed: int, spread: float) -> float:
        real = real_of(normal(150, 3 * seed + 2))
        found = fid_differences(normal(80, 3 * seed, 0, spread), normal(80, 3 * seed + 1), real)
        return chance_of(found, signs, "greater")

    honest = [chance(i, 1) for i in range(200)]
    assert np.mean(np.array(honest) <= 0.05) < 0.09
    narrow = [chance(i, 0.5) for i in range(20)]
    assert np.mean(np.array(narrow) <= 0.05) > 0.9
