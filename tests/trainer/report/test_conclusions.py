from typing import Any

import pytest

from trainer.report.conclusions import conclusions, small


def row(control: str, verdict: str, value: float = 0.02, **changes: Any) -> dict[str, Any]:
    return {
        "arm": "gan", "control": control, "pathology": "Fracture", "missing": None, "value": value,
        "low": value - 0.01, "high": value + 0.01, "holm": 0.004, "verdict": verdict,
    } | changes  # fmt: skip


def arm_called(title: str) -> dict[str, Any]:
    name, *modifiers = title.split(", ")
    return {"title": title, "name": name, "modifiers": ["flip"] * (name == "flip") + modifiers}


def said(*rows: dict[str, Any], arm: str = "gan") -> dict[str, Any]:
    titles = [arm, *(row["control"] for row in rows)]
    arms = [arm_called(title) for title in titles]
    rows = tuple(row | {"arm": arm} for row in rows)
    (found,) = conclusions({"arms": arms, "targets": ["Fracture"], "comparisons": list(rows)})
    return found


NUMBERS = "(+0.020, +0.010 to +0.030, p 0.004)"
SAME = "the same balance of real images, oversample"


@pytest.mark.parametrize(
    ("plain", "balanced", "words"),
    [
        ("helped", "better", f"gan helped against none {NUMBERS}, and by more than {SAME} "),
        ("helped", "no evidence", ", but there is no evidence that the generator did it and not"
         " the balancing: against oversample +0.020, "),
        ("helped", "worse", f", but it was worse than {SAME} {NUMBERS}"),
        ("no evidence", "no evidence", f"no evidence that gan helped or hurt against none"
         f" {NUMBERS}; no evidence of a difference from {SAME}, either"),
        ("no evidence", "worse", f"; it was worse than {SAME}"),
        ("no evidence", "better", f"; it was better than {SAME}"),
        ("hurt", "worse", "gan hurt against none"),
        ("hurt", "no evidence", f"; no evidence of a difference from {SAME} {NUMBERS}."),
        ("one seed", "one seed", f"with one seed, gan was better than none, which another seed may"
         f" not repeat {NUMBERS}; with one seed, it was better than {SAME}"),
        ("helped", "one seed", f", but with one seed, it was better than {SAME}"),
    ],
)  # fmt: skip
def test_the_sentence_names_the_verdict_and_the_control(plain: str, balanced: str, words: str):
    found = said(row("none", plain), row("oversample", balanced))
    assert found["verdict"] == plain
    assert found["over_balancing"] == balanced
    assert found["sentence"].startswith("Fracture: ")
    assert words in found["sentence"]


def test_other_controls_are_named_at_the_end():
    others = (row("flip", "no evidence"), row("classweight", "worse"))
    found = said(row("none", "helped"), row("oversample", "better"), *others)
    assert found["sentence"].endswith(
        f" Besides: no evidence of a difference from flip {NUMBERS}; worse than classweight"
        f" {NUMBERS}."
    )


def test_without_the_balanced_control_the_generator_gets_no_credit():
    words = "without the arm oversample nobody can say if the balance alone does it"
    for control, verdict, said_of in (
        ("none", "helped", "gan helped against none"),
        ("flip", "better", "gan was better than flip"),
    ):
        found = said(row(control, verdict))
        assert found["sentence"].startswith(f"Fracture: {said_of} (")
        assert words in found["sentence"]
        assert found["over_balancing"] is None
    assert words not in said(row("none", "no evidence"))["sentence"]


@pytest.mark.parametrize("flip", [False, True])
def test_the_balanced_control_alone_gives_the_credit(flip: bool):
    others = [row("flip", "no evidence")] if flip else []
    found = said(*others, row("oversample", "better"))
    assert found["sentence"].startswith(
        f"Fracture: gan was better than oversample {NUMBERS}, which is the same balance of real"
        " images."
    )
    assert (found["verdict"], found["over_balancing"]) == ("better", "better")
    assert ("Besides: no evidence of a difference from flip" in found["sentence"]) == flip


@pytest.mark.parametrize("plain", ["none, flip", "flip"])
def test_an_arm_is_judged_by_the_controls_with_its_own_modifiers(plain: str):
    rows = (row("none", "worse"), row(plain, "helped"), row("oversample", "better"))
    found = said(*rows, arm="gan, flip")
    assert found["sentence"].startswith(f"Fracture: gan, flip helped against {plain} (")
    assert "; without the arm oversample, flip nobody can say" in found["sentence"]
    assert found["over_balancing"] is None
    assert "Besides: worse than none (" in found["sentence"]
    assert "; better than oversample (" in found["sentence"]


def test_the_schedule_of_pretrain_has_no_control():
    found = said(row("none", "helped"), row("oversample", "better"), arm="pretrain")
    assert "; no control has its schedule, so nobody can say if the balance" in found["sentence"]
    assert found["over_balancing"] is None


def test_where_nothing_could_be_tested_there_is_no_verdict():
    found = said(row("none", "no verdict", low=None, holm=None))
    assert found["verdict"] == "no verdict"
    assert found["sentence"] == (
        "Fracture: no verdict on gan, for too few patients have it, or are without it, in test, or"
        " nothing moves the difference (+0.020 against none)."
    )


def test_without_figures_there_is_no_verdict():
    found = said(row("none", "no verdict", missing="4 positives are fewer than 10"))
    assert found["verdict"] == "no verdict"
    assert found["sentence"] == (
        "Fracture: no verdict on gan, for 4 positives are fewer than 10 in test."
    )
    assert said()["verdict"] == "no control"


def test_small_p_values_are_not_zero():
    assert (small(0.0004), small(0.0123)) == ("< 0.001", "0.012")
