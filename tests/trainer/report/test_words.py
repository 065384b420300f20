from typing import Any

import pytest

from trainer.report.words import conclusions, small


def row(control: str, verdict: str, value: float = 0.02, **changes: Any) -> dict[str, Any]:
    return {
        "arm": "gan", "control": control, "pathology": "Fracture", "missing": None, "value": value,
        "low": value - 0.01, "high": value + 0.01, "holm": 0.004, "verdict": verdict,
    } | changes  # fmt: skip


def said(*rows: dict[str, Any]) -> dict[str, Any]:
    arms = [{"title": "none", "name": "none"}, {"title": "gan", "name": "gan"}]
    (found,) = conclusions({"arms": arms, "targets": ["Fracture"], "comparisons": list(rows)})
    return found


@pytest.mark.parametrize(
    ("plain", "balanced", "words"),
    [
        ("helped", "helped", "gan helped against none (+0.020, +0.010 to +0.030, p 0.004), and by"
         " more than the same balance of real images, oversample (+0.020, "),
        ("helped", "no evidence", ", but there is no evidence that the generator did it and not"
         " the balancing: against oversample +0.020, "),
        ("helped", "hurt", ", but less than the same balance of real images, oversample"),
        ("no evidence", "no evidence", "no evidence that gan helped or hurt against none (+0.020,"
         " +0.010 to +0.030, p 0.004); no evidence of a difference from oversample either"),
        ("no evidence", "hurt", "; it was worse than the same balance of real images"),
        ("no evidence", "helped", "; it was better than the same balance of real images"),
        ("hurt", "hurt", "gan hurt against none"),
    ],
)  # fmt: skip
def test_the_sentence_names_the_verdict_and_the_control(plain: str, balanced: str, words: str):
    found = said(row("none", plain), row("oversample", balanced))
    assert found["verdict"] == plain
    assert found["over_balancing"] == balanced
    assert found["sentence"].startswith("Fracture: ")
    assert words in found["sentence"]


def test_other_controls_are_named_at_the_end():
    found = said(row("none", "helped"), row("oversample", "helped"), row("flip", "no evidence"))
    assert found["sentence"].endswith(
        " Against the other controls: flip no evidence (+0.020, +0.010 to +0.030, p 0.004)."
    )


def test_without_the_balanced_control_the_generator_gets_no_credit():
    assert "cannot be said" in said(row("none", "helped"))["sentence"]
    found = said(row("flip", "helped"))
    assert found["sentence"].startswith("Fracture: gan helped against flip (")
    assert "cannot be said" in found["sentence"]


def test_without_figures_there_is_no_verdict():
    found = said(row("none", "too few positives", missing="4 positives are fewer than 10"))
    assert found["verdict"] == "no verdict"
    assert found["sentence"] == (
        "Fracture: no verdict on gan, for 4 positives are fewer than 10 in test."
    )
    assert said()["verdict"] == "no control"


def test_small_p_values_are_not_zero():
    assert (small(0.0004), small(0.0123)) == ("< 0.001", "0.012")
