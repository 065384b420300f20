import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, roc_curve

from trainer.evaluate.metrics import average_precision, reliability, sensitivity_at


def case(ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 0, 1], 500, p=(0.1, 0.7, 0.2)).astype(np.int8)
    scores = np.clip(rng.random(500) * 0.7 + 0.3 * (labels == 1), 0, 1).astype(np.float32)
    return labels, np.round(scores, 1) if ties else scores, labels >= 0


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_sklearns(ties: bool) -> None:
    labels, scores, known = case(ties)
    expected = average_precision_score(labels[known], scores[known])
    assert average_precision(labels, scores) == pytest.approx(expected)
    assert np.isnan(average_precision(np.array([0, 0, -1]), scores[:3]))


def test_the_diagram_is_sklearns_and_all_images_are_in_it() -> None:
    labels, scores, known = case()
    found = reliability(labels, scores)
    observed, predicted = calibration_curve(labels[known], scores[known], n_bins=15)
    filled = found.images > 0
    assert found.images.sum() == known.sum()
    assert found.observed[filled] == pytest.approx(observed)
    assert found.predicted[filled] == pytest.approx(predicted)
    assert np.isnan(found.observed[~filled]).all()
    gaps = abs(observed - predicted)
    assert found.error == pytest.approx(np.average(gaps, weights=found.images[filled]))


def test_calibrated_probabilities_have_no_error_and_sure_mistakes_have_all() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(200_000)
    right = reliability((rng.random(200_000) < scores).astype(np.int8), scores)
    assert right.error < 0.01
    labels = np.array([0, 1, 0, 1], np.int8)
    assert reliability(labels, 1.0 - labels).error == 1
    assert reliability(labels, 1.0 * labels).error == 0
    assert np.isnan(reliability(labels[:0], scores[:0]).error)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("specificity", [0.0, 0.8, 0.9, 0.95, 1.0])
def test_sensitivity_is_the_best_of_all_thresholds(specificity: float, ties: bool) -> None:
    labels, scores, known = case(ties)
    best = 0.0
    for threshold in [*np.unique(scores[known]), np.inf]:
        said = scores >= threshold
        if 1 - said[labels == 0].mean() >= specificity - 1e-12:
            best = max(best, said[labels == 1].mean())
    assert sensitivity_at(labels, scores, specificity) == pytest.approx(best)
    false, true, _ = roc_curve(labels[known], scores[known])
    assert best <= np.interp(1 - specificity, false, true) + 1e-9
    assert np.isnan(sensitivity_at(np.array([1, 1]), scores[:2], specificity))


def test_a_share_that_is_met_exactly_counts() -> None:
    labels = np.array([0] * 10 + [1] * 2, np.int8)
    scores = np.concatenate([np.arange(10) / 10, [0.85, 0.95]])
    assert sensitivity_at(labels, scores, 0.9) == 1
