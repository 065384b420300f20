from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from trainer.report.comparison_report import Report
from trainer.report.conclusions import conclusions
from trainer.report.results import ArmResult, Comparison, Conclusion, Verdict

CI = "95 % CI 0.010–0.030, Holm p = 0.004"
RAISED, LOWERED = (f"{verb} test AUC by 0.020 ({CI})" for verb in ("raised", "lowered"))
GAP = "(difference +0.020, 95 % CI -0.010 to +0.050, Holm p = 0.210)"
REAL, SAME = "compared with real images only", "the same balance of real images"
Judge = Callable[..., Conclusion]


def row(control: str, verdict: Verdict, **changes: object) -> Comparison:
    """A difference that fits its verdict, of 0.020."""
    sign = -1 if verdict in ("hurt", "worse") else 1
    found = Comparison(
        arm="gan", control=control, pathology="Fracture", target=True, missing=None,
        value=0.02 * sign, low=min(0.01 * sign, 0.03 * sign), high=max(0.01 * sign, 0.03 * sign),
        holm=0.004, verdict=verdict,
    )  # fmt: skip
    if verdict == "no evidence":
        found = replace(found, low=-0.01, high=0.05, holm=0.21)
    return replace(found, **changes)


@pytest.fixture
def judge(report: Report, untrained: Callable[[str], ArmResult]) -> Judge:
    """The function that concludes: (rows, arm=) → the conclusion on a fracture."""

    def conclude(*rows: Comparison, arm: str = "gan") -> Conclusion:
        dataset = replace(
            report.datasets[0],
            arms=tuple(untrained(title) for title in (arm, *(row.control for row in rows))),
            targets=("Fracture",),
            comparisons=tuple(replace(row, arm=arm) for row in rows),
        )
        (found,) = conclusions(dataset, 0.05)
        return found

    return conclude


@pytest.mark.parametrize(
    ("plain", "balanced", "sentence"),
    [
        ("helped", "better",
         f"adding synthetic images {RAISED} {REAL}. It also {RAISED} compared with {SAME}, so the"
         " balance alone does not explain the gain."),
        ("helped", "no evidence",
         f"adding synthetic images {RAISED} {REAL}. But there is no evidence that the gain is due"
         f" to the generator and not to the balance (compared with {SAME}: {GAP[1:-1]})."),
        ("helped", "worse",
         f"adding synthetic images {RAISED} {REAL}. But it {LOWERED} compared with {SAME}."),
        ("helped", "one seed",
         f"adding synthetic images {RAISED} {REAL}. With one seed, it also {RAISED} compared with"
         f" {SAME}."),
        ("no evidence", "no evidence",
         f"no evidence that adding synthetic images changed test AUC {REAL} {GAP}. There is no"
         f" evidence of a difference from {SAME} {GAP}."),
        ("no evidence", "worse",
         f"no evidence that adding synthetic images changed test AUC {REAL} {GAP}. It {LOWERED}"
         f" compared with {SAME}."),
        ("no evidence", "better",
         f"no evidence that adding synthetic images changed test AUC {REAL} {GAP}. It {RAISED}"
         f" compared with {SAME}."),
        ("hurt", "worse",
         f"adding synthetic images {LOWERED} {REAL}. It also {LOWERED} compared with {SAME}."),
        ("hurt", "better",
         f"adding synthetic images {LOWERED} {REAL}. It {RAISED} compared with {SAME}."),
        ("hurt", "no evidence",
         f"adding synthetic images {LOWERED} {REAL}. There is no evidence of a difference from"
         f" {SAME} {GAP}."),
        ("one seed", "one seed",
         f"with one seed, adding synthetic images {RAISED} {REAL}; another seed may not repeat it."
         f" With one seed, it {RAISED} compared with {SAME}."),
    ],
)  # fmt: skip
def test_the_sentence_says_the_effect_and_who_gets_the_credit(
    judge: Judge, plain: Verdict, balanced: Verdict, sentence: str
) -> None:
    found = judge(row("none", plain), row("oversample", balanced))
    assert (found.pathology, found.arm) == ("Fracture", "gan")
    assert (found.verdict, found.over_balancing) == (plain, balanced)
    assert found.sentence == f"Fracture: {sentence}"


@pytest.mark.parametrize("plain", get_args(Verdict))
@pytest.mark.parametrize("balanced", get_args(Verdict))
def test_every_sentence_begins_with_the_target_and_ends(
    judge: Judge, plain: Verdict, balanced: Verdict
) -> None:
    sentence = judge(row("none", plain), row("oversample", balanced)).sentence
    assert sentence.startswith("Fracture: ")
    assert sentence.endswith(".")
    assert ".." not in sentence
    assert sentence.count("(") == sentence.count(")")


def test_other_controls_are_named_at_the_end(judge: Judge) -> None:
    others = (row("flip", "no evidence"), row("classweight", "worse"))
    found = judge(row("none", "helped"), row("oversample", "better"), *others)
    assert found.sentence.endswith(
        f" Other controls: no evidence of a difference from real images only with random flips"
        f" {GAP}; it {LOWERED} compared with real images only, with positives weighted in the loss."
    )


def test_without_the_balanced_control_the_generator_gets_no_credit(judge: Judge) -> None:
    credit = "Without the arm oversample, nobody can say whether the balance alone explains this."
    cases: tuple[tuple[str, Verdict], ...] = (("none", "helped"), ("flip", "better"))
    for control, verdict in cases:
        found = judge(row(control, verdict))
        assert found.sentence.startswith(f"Fracture: adding synthetic images {RAISED} {REAL}")
        assert found.sentence.endswith(credit)
        assert found.over_balancing is None
    assert credit not in judge(row("none", "no evidence")).sentence


@pytest.mark.parametrize("flip", [False, True])
def test_the_balanced_control_alone_gives_the_credit(judge: Judge, flip: bool) -> None:
    others = [row("flip", "no evidence")] if flip else []
    found = judge(*others, row("oversample", "better"))
    said = f"Fracture: adding synthetic images {RAISED} compared with {SAME}."
    assert found.sentence.startswith(said)
    assert (found.verdict, found.over_balancing) == ("better", "better")
    assert ("Other controls: no evidence of a difference" in found.sentence) == flip


@pytest.mark.parametrize("plain", ["none, flip", "flip"])
def test_an_arm_is_judged_by_the_controls_with_its_own_modifiers(judge: Judge, plain: str) -> None:
    rows = (row("none", "worse"), row(plain, "helped"), row("oversample", "better"))
    found = judge(*rows, arm="gan, flip")
    assert found.sentence == (
        f"Fracture: adding synthetic images with random flips {RAISED} {REAL} with random"
        " flips. Without the arm oversample, flip, nobody can say whether the balance alone"
        f" explains this. Other controls: it {LOWERED} {REAL}; it {RAISED} compared with {SAME}."
    )
    assert (found.verdict, found.over_balancing) == ("helped", None)


def test_the_schedule_of_pretrain_has_no_control(judge: Judge) -> None:
    found = judge(row("none", "helped"), row("oversample", "better"), arm="pretrain")
    assert found.sentence.startswith(
        f"Fracture: pretraining on synthetic images {RAISED} {REAL}. No control has its schedule,"
        " so nobody can say whether the balance alone explains this."
    )
    assert found.over_balancing is None


def test_where_nothing_could_be_tested_there_is_no_verdict(judge: Judge) -> None:
    found = judge(row("none", "no verdict", low=None, high=None, holm=None))
    assert found.verdict == "no verdict"
    assert found.sentence == (
        "Fracture: no verdict on adding synthetic images, because too few test patients have it or"
        " lack it, or because neither patients nor seeds change the difference (difference +0.020"
        " compared with real images only)."
    )


def test_without_figures_there_is_no_verdict(judge: Judge) -> None:
    found = judge(row("none", "no verdict", missing="no test image is negative", value=None))
    assert found.verdict == "no verdict"
    assert found.sentence == (
        "Fracture: no verdict on adding synthetic images, because no test image is negative."
    )


def test_without_a_control_there_is_no_verdict(judge: Judge) -> None:
    found = judge()
    assert found.verdict == "no control"
    assert found.sentence == (
        "Fracture: no verdict on adding synthetic images, because no control arm was trained."
    )
