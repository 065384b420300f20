from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, t

from trainer.evaluate.bootstrap import ArmAucs, arm_aucs, resample
from trainer.evaluate.inference import Estimate, difference, estimate, holm, verdict


def delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs [M] of scores [M, N] and their covariance (DeLong et al. 1988), pair by pair."""
    positive, negative = scores[:, labels == 1, None], scores[:, None, labels == 0]
    wins = (positive > negative) + 0.5 * (positive == negative)
    of_positives, of_negatives = wins.mean(axis=2), wins.mean(axis=1)
    parts = [np.atleast_2d(np.cov(v)) / v.shape[1] for v in (of_positives, of_negatives)]
    return wins.mean(axis=(1, 2)), parts[0] + parts[1]


def made(
    *, gap: float, seeds: int = 1, seed_sd: float = 0.0, own: float = 0.7, images: int = 1500
) -> tuple[np.ndarray, np.ndarray, list[ArmAucs]]:
    """Labels [N], scores [2, S, N] and both arms; every image is another patient's."""
    rng = np.random.default_rng(7)
    labels = (rng.random(images) < 0.15).astype(np.int8)
    mu = 1 + np.array([0, gap])[:, None, None] + seed_sd * rng.standard_normal((2, seeds, 1))
    noise = rng.standard_normal(images) + own * rng.standard_normal((2, seeds, images))
    scores = (mu * labels + noise).astype(np.float32)
    counts = resample(images, 2000, seed=3)
    both = [
        arm_aucs(labels[:, None], scores[i, ..., None], np.arange(images), counts) for i in (0, 1)
    ]
    return labels, scores, both


def test_one_auc_agrees_with_delong() -> None:
    labels, scores, (control, _) = made(gap=0.3)
    aucs, covariance = delong(labels, scores[:, 0])
    found, error = estimate(control, 0), np.sqrt(covariance[0, 0])
    assert found.value == pytest.approx(aucs[0])
    assert found.error == pytest.approx(error, rel=0.05)
    assert (found.low, found.high) == pytest.approx(aucs[0] + np.array([-2, 2]) * error, abs=0.006)
    assert found.p < 0.002  # not 0.5
    assert found.seed_share == 0


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.25])
def test_a_paired_difference_agrees_with_delong(gap: float) -> None:
    labels, scores, (control, arm) = made(gap=gap)
    aucs, covariance = delong(labels, scores[:, 0])
    error = np.sqrt(np.array([-1, 1]) @ covariance @ np.array([-1, 1]))
    found = difference(arm, control, 0)
    assert found.value == pytest.approx(aucs[1] - aucs[0])
    assert found.error == pytest.approx(error, rel=0.05)
    expected = 2 * norm.sf(abs(found.value) / error)
    assert found.p == pytest.approx(expected, abs=0.03)
    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_the_other_way_round_is_the_same_difference(seeds: int) -> None:
    _, _, (control, arm) = made(gap=0.2, seeds=seeds, seed_sd=0.3)
    one, other = difference(arm, control, 0), difference(control, arm, 0)
    assert (one.value, one.p) == pytest.approx((-other.value, other.p))
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_equal_scores_differ_by_nothing() -> None:
    _, _, (control, _) = made(gap=0)
    found = difference(control, control, 0)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_seeds_that_differ_widen_the_interval_by_their_own_part() -> None:
    _, _, (control, arm) = made(gap=0.1, seeds=5, seed_sd=0.4)
    one = made(gap=0.1, seeds=5, seed_sd=0.0)[2]
    apart, alike = difference(arm, control, 0), difference(one[1], one[0], 0)
    assert apart.error > 2 * alike.error
    assert apart.seed_share > 0.7
    assert 5 < apart.degrees < 30  # two times four, and a little
    assert apart.high - apart.low > 2 * 1.96 * apart.error  # Student's t, not the normal
    spread = sum(a.auc.var(ddof=1) / 5 for a in (arm, control))  # with the interaction in it
    patients = (arm.resampled - control.resampled).mean(axis=0).var()
    assert patients < apart.error**2 < spread + patients


def parts(arm: ArmAucs) -> tuple[float, float]:
    """Of a seed's AUC: its variance, and how much of that is how it fares with the patients."""
    about = arm.resampled[:, 0] - arm.resampled[:, 0].mean(axis=0)
    return float(arm.auc[:, 0].var(ddof=1)), float(about.var(axis=1).sum() / (len(about) - 1))


@pytest.mark.parametrize(("gap", "seed_sd", "positive"), [(0.1, 0.3, 0), (1, 0.3, 1), (1, 0, 1)])
def test_the_error_and_its_degrees_are_those_of_readers_nested_in_modalities(
    gap: float, seed_sd: float, positive: bool
) -> None:
    """Hillis 2014: MS[R(T)] + r max(Cov2 - Cov3, 0), with readers of each modality on their own."""
    control, arm = made(gap=gap, seeds=4, seed_sd=seed_sd)[2]
    found = difference(arm, control, 0)
    (spread, both), (other, other_both) = parts(arm), parts(control)
    drawn = (arm.resampled - control.resampled)[:, 0].mean(axis=0).var()
    cases, seeds = drawn - (both + other_both) / 4, (spread + other) / 4
    assert (cases > 0) == positive
    cases = max(0, cases)
    assert found.error == pytest.approx(np.sqrt(cases + seeds))
    doubt = cases**2 / (arm.patients[0] - 1) + ((spread / 4) ** 2 + (other / 4) ** 2) / 3
    assert found.degrees == pytest.approx((cases + seeds) ** 2 / doubt)
    assert found.seed_share == pytest.approx(max(0, 1 - drawn / (cases + seeds)))


def test_two_seeds_are_taken_to_vary_as_those_of_the_arms_beside_them() -> None:
    control, arm = made(gap=0.1, seeds=5, seed_sd=0.3)[2]
    two = ArmAucs(auc=control.auc[:2], resampled=control.resampled[:2], patients=control.patients)
    (spread, both), (other, other_both) = parts(arm), parts(two)
    (slope,), (of_arm,) = ((a * (1 - a)) ** 2 for a in (two.auc.mean(axis=0), arm.auc.mean(axis=0)))
    spread = (4 * spread / of_arm + other / slope) / 5  # of logits
    both = (4 * both / of_arm + other_both / slope) / 5
    drawn = two.resampled[:, 0].mean(axis=0).var()
    found = estimate(two, 0, pooled_with=[arm])
    assert found == estimate(two, 0, pooled_with=[arm, two])
    cases, seeds = drawn - slope * both / 2, slope * spread / 2
    assert found.error == pytest.approx(np.sqrt(cases + seeds))
    doubt = cases**2 / (two.patients[0] - 1) + seeds**2 / 5
    assert found.degrees == pytest.approx((cases + seeds) ** 2 / doubt)
    drawn = (arm.resampled[:, 0].mean(axis=0) - two.resampled[:, 0].mean(axis=0)).var()
    share = of_arm / 5 + slope / 2
    expected = np.sqrt(drawn - share * both + share * spread)
    assert difference(arm, two, 0).error == pytest.approx(expected)
    assert estimate(arm, 0, pooled_with=[two]) == estimate(arm, 0)  # five know for themselves
    both_two = ArmAucs(auc=arm.auc[3:], resampled=arm.resampled[3:], patients=arm.patients)
    alone, beside = (difference(both_two, two, 0, pooled_with=some) for some in ((), [arm]))
    assert beside.value == alone.value
    assert beside.degrees > alone.degrees  # a third arm counts too


def test_an_arm_of_one_seed_adds_nothing_but_its_patients() -> None:
    control, arm = made(gap=0.1, seeds=5, seed_sd=0.3)[2]
    one = ArmAucs(auc=control.auc[:1], resampled=control.resampled[:1], patients=control.patients)
    assert estimate(one, 0, pooled_with=[arm]) == estimate(one, 0)
    spread, both = parts(arm)
    drawn = (arm.resampled[:, 0].mean(axis=0) - one.resampled[0, 0]).var()
    found = difference(arm, one, 0)
    assert found.error == pytest.approx(np.sqrt(drawn - both / 5 + spread / 5))


def test_seeds_that_are_perfect_or_of_chance_differ_though_no_resample_moves_them() -> None:
    auc = np.array([[1.0], [0.5], [1.0]])
    still = ArmAucs(
        auc=auc, resampled=np.repeat(auc[..., None], 2000, axis=2), patients=np.array([40])
    )
    half = ArmAucs(auc=auc[1:2], resampled=still.resampled[1:2], patients=still.patients)
    found = difference(still, half, 0)
    assert found.value == pytest.approx(1 / 3)
    assert found.error == pytest.approx(np.sqrt(auc.var(ddof=1) / 3))
    assert found.low < 0 < found.high  # t with two degrees of freedom
    assert found.p == pytest.approx(2 * t.sf(2, 2), abs=0.01)


def test_what_patients_and_seeds_share_is_counted_once() -> None:
    """Seeds of one truth, each with a noise of its own: spread that the patients have already."""
    arms = {number: made(gap=0, seeds=number, own=3.0)[2][0] for number in (1, 5)}
    one, five = (estimate(arm, 0).error for arm in arms.values())
    twice = arms[5].resampled[:, 0].mean(axis=0).var() + arms[5].auc.var(ddof=1) / 5
    assert five < 0.7 * one
    assert five < 0.9 * np.sqrt(twice)


def aucs(resampled: Any, patients: int) -> ArmAucs:
    drawn = np.array(resampled, float)[None, None]
    return ArmAucs(auc=np.full((1, 1), 0.7), resampled=drawn, patients=np.array([patients]))


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_resamples_without_a_class_do_not_count(seeds: int) -> None:
    drawn = np.random.default_rng(0).normal(0.7, 0.05, (seeds, 1, 400))
    auc, patients = drawn.mean(axis=2), np.array([40])
    gaps = np.insert(drawn, 50, np.full((9, seeds, 1), np.nan), axis=2)
    whole, holed = (ArmAucs(auc=auc, resampled=r, patients=patients) for r in (drawn, gaps))
    assert astuple(estimate(holed, 0)) == pytest.approx(astuple(estimate(whole, 0)))


def test_seeds_more_alike_than_their_patients_let_expect_narrow_the_interval() -> None:
    drawn = np.random.default_rng(0).normal(0.7, 0.05, (3, 1, 2000))
    arm = ArmAucs(auc=np.full((3, 1), 0.7), resampled=drawn, patients=np.array([400]))
    arm.auc[0] += 0.01
    spread, both = parts(arm)
    assert spread < both
    resamples = drawn.mean(axis=0).var()
    found = estimate(arm, 0)
    assert found.seed_share == 0
    assert found.error == pytest.approx(np.sqrt(max(0, resamples - both / 3) + spread / 3))
    none = ArmAucs(auc=arm.auc - 0.1, resampled=drawn[:, :, ::-1] - 0.1, patients=arm.patients)
    gap = difference(arm, none, 0)
    moved = (arm.resampled - none.resampled).mean(axis=0)
    assert gap.high - gap.low < np.diff(np.quantile(moved, (0.025, 0.975)))


def test_two_perfect_seeds_add_nothing_and_do_not_break_the_arms_beside_them() -> None:
    arm = made(gap=0, seeds=2, seed_sd=0.3)[2][0]
    perfect = ArmAucs(
        auc=np.ones((2, 1)), resampled=np.ones_like(arm.resampled), patients=arm.patients
    )
    (spread, both), drawn = parts(arm), arm.resampled[:, 0].mean(axis=0).var()
    found = difference(perfect, arm, 0)
    assert found.error == pytest.approx(np.sqrt(max(0, drawn - both / 2) + spread / 2))
    assert np.isfinite([found.low, found.high, found.p]).all()


def test_a_difference_that_nothing_moves_has_no_interval() -> None:
    """Seeds of one AUC each, and resamples that move every seed but not their mean."""
    drawn = np.array([[[0.7, 0.8]], [[0.8, 0.7]]])
    one, other = (
        ArmAucs(auc=np.full((2, 1), auc), resampled=drawn, patients=np.array([40]))
        for auc in (0.75, 0.72)
    )
    found = difference(one, other, 0)
    assert found.value == pytest.approx(0.03)
    assert np.isnan([found.low, found.high, found.p]).all()


@pytest.mark.parametrize(("drawn", "patients"), [([np.nan] * 9, 5), ([0.7] * 9, 1), ([0.7] * 9, 0)])
def test_patients_that_cannot_tell_give_no_interval(drawn: Any, patients: int) -> None:
    found = estimate(aucs(drawn, patients), 0)
    assert found.value == 0.7
    assert np.isnan([found.low, found.high, found.p, found.error]).all()
    assert verdict(found, found.p, seeds=5) == "no verdict"


def test_an_auc_stays_in_its_range_and_few_patients_widen_it() -> None:
    drawn = np.minimum(1, np.random.default_rng(0).normal(0.7, 0.3, 2000))
    few, many = (estimate(aucs(drawn, n), 0) for n in (5, 500))
    assert 0 < few.low < many.low < many.high < few.high < 1
    assert few.p > many.p


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_perfect_auc_has_no_interval_but_a_difference_from_it_has(value: float) -> None:
    drawn = np.random.default_rng(0).normal(0.7, 0.05, 400)
    perfect = ArmAucs(
        auc=np.full((1, 1), value),
        resampled=np.full((1, 1, 400), value),
        patients=np.array([40]),
    )
    found = estimate(perfect, 0)
    assert found.value == value
    assert np.isnan([found.low, found.high, found.p]).all()
    assert difference(perfect, aucs(drawn, 40), 0).p < 0.01


def test_arms_of_other_images_or_resamples_do_not_compare() -> None:
    for other in (aucs([0.7] * 8, 5), aucs([0.7] * 9, 6)):
        with pytest.raises(ValueError, match="not of the same images"):
            difference(aucs([0.7] * 9, 5), other, 0)


def test_holm_equals_the_example_in_the_books() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1, 1])
    assert holm(np.array([np.nan, 0.02, 0.03])) == pytest.approx([np.nan, 0.04, 0.04], nan_ok=True)
    assert len(holm(np.array([]))) == 0


@pytest.mark.parametrize(
    ("low", "high", "p", "seeds", "said"),
    [
        (0.01, 0.05, 0.04, 2, "helped"),
        (0.01, 0.05, 0.06, 5, "no evidence"),  # not after Holm
        (-0.01, 0.05, 0.04, 5, "no evidence"),
        (-0.05, -0.01, 0.05, 5, "hurt"),
        (np.nan, np.nan, np.nan, 5, "no verdict"),
        (0.01, 0.05, 0.001, 1, "one seed"),
        (-0.05, -0.01, 0.001, 1, "one seed"),
        (-0.01, 0.05, 0.3, 1, "no evidence"),
    ],
)
def test_a_verdict_needs_the_interval_the_test_and_seeds(
    low: float, high: float, p: float, seeds: int, said: str
) -> None:
    found = Estimate(
        value=(low + high) / 2, low=low, high=high, p=p, error=0.01, seed_share=0.0, degrees=9.0
    )
    assert verdict(found, p, seeds=seeds) == said
