import numpy as np
import numpy.typing as npt
import pytest
import torch

from builder.audit.chance import chance_of, flips
from builder.audit.frechet import fid, fid_differences, fid_influence, fid_variance, moments

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
    found = fid(one, two)
    assert found == pytest.approx(other, rel=1e-5)
    tensors = [torch.from_numpy(part) for m in (one, two) for part in (m.mean, m.covariance)]
    assert found == pytest.approx(float(_compute_fid(*tensors)), rel=1e-8)


def test_equal_sets_are_at_no_distance_even_with_fewer_images_than_features() -> None:
    few = normal(4, 0)
    assert fid(moments(few), moments(few)) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(fid_variance(few, normal(5, 1)))


def test_the_influence_is_the_derivative_by_an_images_weight() -> None:
    x, real = normal(200, 0, 0.5), moments(normal(300, 1))
    of = moments(x)
    found, step = fid_influence(x, of, real), 1e-5
    for image in (0, 5):
        gap = x[image] - of.mean
        more = type(of)(
            mean=of.mean + step * gap,
            covariance=of.covariance + step * (np.outer(gap, gap) - of.covariance),
        )
        slope = (fid(more, real) - fid(of, real)) / step
        assert slope == pytest.approx(found[image] - found.mean(), rel=0.02, abs=0.02)


def test_intervals_hold_what_is_expected_of_as_many_images_in_19_of_20_cases() -> None:
    cases = [(normal(150, 2 * i, 0.3), normal(200, 2 * i + 1)) for i in range(200)]
    values = np.array([fid(moments(x), moments(y)) for x, y in cases])
    spreads = np.sqrt([fid_variance(x, y) for x, y in cases])
    assert 0.88 <= (np.abs(values - values.mean()) < 1.96 * spreads).mean() <= 0.99


def test_honest_sets_differ_in_one_of_twenty_cases_and_narrow_ones_always() -> None:
    signs = flips(80, 0)

    def chance(seed: int, spread: float) -> float:
        sets = normal(80, 3 * seed, 0, spread), normal(80, 3 * seed + 1), normal(150, 3 * seed + 2)
        return chance_of(fid_differences(*sets), signs, "greater")

    honest = [chance(i, 1) for i in range(200)]
    assert np.mean(np.array(honest) <= 0.05) < 0.09
    narrow = [chance(i, 0.5) for i in range(20)]
    assert np.mean(np.array(narrow) <= 0.05) > 0.9
