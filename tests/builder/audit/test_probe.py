import numpy as np
import numpy.typing as npt
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from builder.audit import probe
from builder.audit.probe import auc_of, cross_scores, fitted, folds_of, principal, spread

Names = npt.NDArray[np.object_]


def people(count: int, images: int = 1) -> Names:
    return np.array([f"p{i // images}" for i in range(count)], object)


@pytest.mark.parametrize("step", [1e-9, 0.5, 10.0])
def test_the_auc_is_scikit_learns_with_ties_and_weights(step: float) -> None:
    random = np.random.default_rng(1)
    positive = random.random(300) < 0.3
    scores = np.round((random.normal(size=300) + positive) / step) * step
    weights = random.random(300)
    found = auc_of(scores, positive, people(300), resamples=0, seed=0)
    assert found.value == pytest.approx(roc_auc_score(positive, scores))
    found = auc_of(scores, positive, people(300), resamples=0, seed=0, weights=weights)
    assert found.value == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights))


def test_a_resample_is_the_auc_of_the_images_of_the_drawn_patients() -> None:
    random = np.random.default_rng(2)
    scores, patients = random.normal(size=40), people(40, 2)
    positive = random.random(40) < 0.5
    found = auc_of(scores, positive, patients, resamples=5, seed=3)
    _, who = np.unique(patients.astype(str), return_inverse=True)
    for times, value in zip(probe.drawn(20, 5, 3, "patients")[1:], found.resampled, strict=True):
        rows = np.repeat(np.arange(40), times[who].astype(int))
        assert value == pytest.approx(roc_auc_score(positive[rows], scores[rows]))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = 0.7602  # of normal scores one standard deviation apart: Φ(1/√2)
    hits = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        positive = np.arange(150) < 50
        scores = random.normal(size=150) + positive
        found = auc_of(scores, positive, people(150), resamples=200, seed=seed).interval()
        hits += found.low <= truth <= found.high
    assert 88 <= hits <= 99


def test_images_of_one_patient_count_as_one() -> None:
    random = np.random.default_rng(5)
    positive = np.arange(60) < 30
    scores = random.normal(size=60) + positive
    tens = [np.repeat(part, 10) for part in (scores, positive)]
    one = auc_of(scores, positive, people(60), resamples=300, seed=0).interval()
    ten = auc_of(tens[0], tens[1], people(600, 10), resamples=300, seed=0).interval()
    assert ten == pytest.approx(one)


def test_a_patient_is_in_one_fold_and_each_fold_has_both_kinds() -> None:
    random = np.random.default_rng(7)
    patients = np.array([f"p{i}" for i in random.integers(0, 60, 200)], object)
    positive = random.random(200) < 0.3
    folds = folds_of(positive, patients)
    for patient in set(patients):
        assert len(set(folds[patients == patient])) == 1
    for fold in range(probe.FOLDS):
        assert 0 < positive[folds == fold].sum() < (folds == fold).sum()


def test_a_set_against_itself_is_told_no_more_often_than_by_chance() -> None:
    said = []
    for seed in range(80):
        random = np.random.default_rng(seed)
        features = random.normal(size=(160, 20))
        features[::2] += features[1::2]  # two images of a patient are alike
        positive = np.repeat(random.permutation(80) < 40, 2)
        scores = cross_scores(features, positive, people(160, 2), seed)
        found = auc_of(scores, positive, people(160, 2), resamples=200, seed=seed)
        said.append(
            (found.value, *(each.interval().low > 0.5 for each in (found, found.crossed())))
        )
    values, naive, told = np.array(said).T
    assert told.sum() <= 4  # 2.5 % of 80, and chance
    assert naive.sum() > told.sum()
    assert values.mean() == pytest.approx(0.5, abs=0.02)


def test_patients_that_a_probe_could_know_by_heart_help_it_nothing() -> None:
    random = np.random.default_rng(9)
    features = np.repeat(random.normal(size=(60, 100)), 5, axis=0)
    positive = np.repeat(random.permutation(60) < 30, 5)
    by_patient = cross_scores(features, positive, people(300, 5))
    by_image = cross_scores(features, positive, people(300))
    assert roc_auc_score(positive, by_image) > 0.9
    assert 0.25 < roc_auc_score(positive, by_patient) < 0.7


def test_what_differs_is_told() -> None:
    random = np.random.default_rng(10)
    positive = np.arange(200) % 2 == 0
    features = random.normal(size=(200, 10)) * 1000 + 5000
    features[:, 3] += positive * 2500
    assert roc_auc_score(positive, cross_scores(features, positive, people(200))) > 0.85


def test_scores_are_the_same_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(11)
    features, positive = random.normal(size=(300, 40)), np.arange(300) < 100
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(probe, "usable_cores", lambda cores=cores: cores)
        found.append(cross_scores(features, positive, people(300)))
    assert (found[0] == found[1]).all()
    score = fitted(features, positive)
    assert (score(features)[:7] == score(features[:7])).all()


def test_principal_components_are_scikit_learns() -> None:
    features = np.random.default_rng(12).normal(size=(100, 6)) * np.arange(1, 7)
    ours, theirs = principal(features, 3)(features), PCA(3).fit_transform(features)
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=1e-9)
    assert principal(np.ones((5, 4)), 3)(np.ones((2, 4))).shape == (2, 0)


def test_resamples_without_a_kind_are_left_out() -> None:
    values = np.array([0.1, np.nan, 0.3, 0.2])
    found = spread(0.2, values, 1.0)
    assert (found.low, found.high) == (0.1, 0.3)
    nothing = spread(0.2, values[1:2])
    assert (nothing.low, nothing.high) == (0.2, 0.2)


def test_where_no_feature_varies_nothing_is_told() -> None:
    flat, positive = np.ones((40, 5)), np.arange(40) % 2 == 0
    scores = cross_scores(principal(flat, 3)(flat), positive, np.arange(40).astype(object))
    assert (scores == 0).all()
