from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError
from builder.contract.record import to_json
from trainer.report import Report, read_report

Facts = dict[str, Any]


def test_a_report_is_read_as_it_was_written(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(to_json(report))
    assert read_report(path) == report


def test_the_config_of_a_run_is_flat_as_in_config_json(report_json: Facts, report: Report) -> None:
    run = report_json["datasets"][0]["arms"][2]["runs"][1]
    assert run["config"] == asdict(report.datasets[0].arms[2].runs[1].config)
    assert (run["config"]["arm"], run["config"]["seed"]) == ("gan", 1)


def change(facts: Facts, field: str, value: object) -> None:
    *above, last = field.split(".")
    place = facts
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("settings.min_positives", "10", "expected a whole number, got text"),
        ("datasets", {}, "expected a list, got an object at datasets"),
        ("datasets", [7], "at datasets[0]"),
        ("datasets.0.arms", None, "at datasets[0].arms"),
        ("datasets.0.arms.0.name", "vae", "at datasets[0].arms[0].name"),
        ("datasets.0.arms.0.runs", [None], "at datasets[0].arms[0].runs[0]"),
        ("datasets.0.arms.0.runs.0.config", [], "at datasets[0].arms[0].runs[0].config"),
        ("datasets.0.comparisons.0.verdict", "won", "at datasets[0].comparisons[0].verdict"),
        ("datasets.0.conclusions.0.sentence", "\x1b[2J", "has control characters"),
    ],
    ids=str,
)
def test_a_report_that_does_not_fit_is_refused_with_what_was_found(
    facts_of_report: Facts,
    as_report: Callable[[Facts], Report],
    field: str,
    value: object,
    said: str,
) -> None:
    change(facts_of_report, field, value)
    with pytest.raises(CheckError) as refused:
        as_report(facts_of_report)
    assert "report.json is refused: " in str(refused.value)
    assert said in str(refused.value)


def test_a_report_that_is_missing_or_cut_is_refused(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(CheckError, match="Cannot read"):
        read_report(path)
    path.write_text(to_json(report)[:-9])
    with pytest.raises(CheckError, match="is not valid JSON"):
        read_report(path)
