from collections.abc import Callable

import pytest

from trainer.report.results import ArmResult, Comparison
from trainer.report.sentences import difference, effect, in_words, percent, small, with_minus


def gap(value: float, low: float | None, high: float | None, holm: float | None) -> Comparison:
    return Comparison(
        arm="gan", control="none", pathology="Fracture", target=True, missing=None,
        value=value, low=low, high=high, holm=holm, verdict="helped",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (gap(0.155, 0.118, 0.194, 0.0002),
         "raised test AUC by 0.155 (95 % CI 0.118–0.194, Holm p < 0.001)"),
        (gap(-0.155, -0.194, -0.118, 0.0123),
         "lowered test AUC by 0.155 (95 % CI 0.118–0.194, Holm p = 0.012)"),
        (gap(-0.02, -0.05, 0.01, None), "lowered test AUC by 0.020 (95 % CI -0.010 to 0.050)"),
        (gap(0.02, None, None, None), "raised test AUC by 0.020"),
    ],
    ids=["raised", "lowered", "uncertain", "without interval"],
)  # fmt: skip
def test_an_effect_is_a_positive_number(row: Comparison, sentence: str) -> None:
    assert effect(row, 0.05) == sentence


def test_a_difference_has_its_sign() -> None:
    said = "difference -0.020, 90 % CI -0.050 to +0.010, Holm p = 0.210"
    assert difference(gap(-0.02, -0.05, 0.01, 0.21), 0.1) == said
    assert difference(gap(0.02, None, None, None), 0.1) == "difference +0.020"


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("none", "real images only"),
        ("flip", "real images only with random flips"),
        ("none, flip", "real images only with random flips"),
        ("gan, flip, own steps",
         "adding synthetic images with random flips and its own number of steps"),
        ("pretrain, real=1 synthetic=0.5",
         "pretraining on synthetic images with the mix real=1 synthetic=0.5"),
        ("oversample", "the same balance of real images"),
        ("gan, resnet18", "adding synthetic images with the network resnet18"),
        ("gan, synthetic weight 0.5", "adding synthetic images with weight 0.5 in the loss"),
        ("radiograph", "real images only with random turns, shifts, zooms and brightness"),
    ],
)  # fmt: skip
def test_an_arm_in_words(untrained: Callable[[str], ArmResult], title: str, words: str) -> None:
    assert in_words(untrained(title)) == words


def test_small_p_values_are_not_zero() -> None:
    assert (small(0.0004), small(0.0123)) == ("< 0.001", "0.012")


def test_levels_are_in_per_cent() -> None:
    assert (percent(0.05), percent(0.001)) == ("95 %", "99.9 %")


def test_numbers_have_a_minus_sign_and_words_keep_their_hyphen() -> None:
    assert with_minus("-0.01 to x-ray 20-40, -v") == "−0.01 to x-ray 20-40, -v"
