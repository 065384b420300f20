import numpy as np
import numpy.typing as npt
import pytest
import torch

from builder.audit.chance import chance_of, flips, percentiles, resamples
from builder.audit.kernel_distance import kid_differences, resampled_kid, resampled_within

Features = npt.NDArray[np.float32]


def normal(count: int, seed: int, mean: float = 0, width: int = 8) -> Features:
    return np.random.default_rng(seed).normal(mean, 1, (count, width)).astype(np.float32)


def kid(synthetic: Features, real: Features) -> float:
    """Of all images, each once."""
    once = [np.ones((1, len(part))) for part in (synthetic, real)]
    within = resampled_within(real, once[1])
    return float(resampled_kid(synthetic, real, once[0], once[1], within)[0])


def test_it_agrees_with_torch_fidelity_and_torchmetrics() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.kid import poly_mmd

    x, y = normal(300, 0), normal(300, 1, 0.3)
    two = torch.from_numpy(x), torch.from_numpy(y)
    other = kid_features_to_metric(*two, kid_subsets=1, kid_subset_size=300, verbose=False)
    assert kid(x, y) == pytest.approx(other["kernel_inception_distance_mean"], rel=1e-4)
    assert kid(x, y) == pytest.approx(float(poly_mmd(*two)), rel=1e-4)


def test_it_has_no_bias_whatever_the_numbers_of_images() -> None:
    found = [kid(normal(30, 2 * i), normal(70, 2 * i + 1)) for i in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)
    assert np.std(found) < 0.1


def test_resamples_surround_the_value_and_not_a_larger_one() -> None:
    x, y = normal(100, 0), normal(150, 1, 0.5)
    drawn, drawn_y = resamples(100, 400, 0, "drawn"), resamples(150, 400, 0, "real")
    found = resampled_kid(x, y, drawn, drawn_y, resampled_within(y, drawn_y))
    assert found[0] == pytest.approx(kid(x, y))
    assert abs(found[1:].mean() - found[0]) < found[1:].std() / 4
    # Each image repeated as often as it is drawn, pairs of equal images left out:
    i, j = (np.repeat(np.arange(len(d[7])), d[7].astype(int)) for d in (drawn, drawn_y))
    within = []
    for part, places in ((x, i), (y, j)):
        kernel = (part[places].astype(float) @ part[places].T / 8 + 1) ** 3
        within.append(kernel[places[:, None] != places].mean())
    cross = ((x[i].astype(float) @ y[j].T / 8 + 1) ** 3).mean()
    assert found[7] == pytest.approx(sum(within) - 2 * cross)


def test_intervals_hold_the_true_distance_in_19_of_20_cases() -> None:
    true, hits = kid(normal(4000, 100, 0.5), normal(4000, 101)), 0
    drawn, drawn_y = resamples(60, 200, 0, "drawn"), resamples(80, 200, 0, "real")
    for i in range(100):
        x, y = normal(60, 2 * i, 0.5), normal(80, 2 * i + 1)
        found = percentiles(resampled_kid(x, y, drawn, drawn_y, resampled_within(y, drawn_y)))
        hits += found.low <= true <= found.high
    assert 88 <= hits <= 99


def test_differences_of_pairs_sum_to_the_difference_and_change_sides_with_them() -> None:
    x, y, real = normal(40, 0, 0.4), normal(40, 1), normal(90, 2)
    found = kid_differences(x, y, real)
    assert found.sum() == pytest.approx(kid(x, real) - kid(y, real))
    sign = np.where(np.arange(40) % 3 == 0, -1, 1)
    swapped = [np.where(sign[:, None] > 0, *two) for two in ((x, y), (y, x))]
    assert sign @ found == pytest.approx(kid(swapped[0], real) - kid(swapped[1], real))


def test_honest_sets_differ_in_one_of_twenty_cases() -> None:
    signs = flips(50, 0)
    chances = [
        chance_of(
            kid_differences(normal(50, 3 * i), normal(50, 3 * i + 1), normal(70, 3 * i + 2)),
            signs,
            "greater",
        )
        for i in range(200)
    ]
    assert np.mean(np.array(chances) <= 0.05) < 0.09
    worse = kid_differences(normal(50, 0, 0.5), normal(50, 1), normal(70, 2))
    assert chance_of(worse, signs, "greater") <= 0.005
