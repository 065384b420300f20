from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from builder.contract import UsageError
from trainer.config import Settings

Call = Callable[..., Result]
Refused = Callable[..., None]


def test_a_report_is_not_written_into_a_run(call: Call, refused: Refused, done: Path) -> None:
    refused(call("report", done, "--out", done), 2, "is the folder of a run")


@pytest.mark.parametrize("option", [("--lr", "0.1"), ("--batch", "8"), ("--optimizer", "adam")])
def test_a_grid_chooses_its_values_itself(
    call: Call, refused: Refused, shared: Any, tmp_path: Path, option: tuple[str, str]
) -> None:
    result = call("experiment", shared.path, "--out", tmp_path, "--grid", *option)
    refused(result, 2, f"--grid chooses {option[0]} itself")


@pytest.mark.parametrize(("jobs", "each"), [("1", 60), ("3", 20)])
def test_the_processes_of_an_experiment_share_the_free_memory(
    call: Call, monkeypatch: pytest.MonkeyPatch, jobs: str, each: int
) -> None:
    asked = []

    def planned(_: Sequence[str], settings: Settings, **__: Any) -> None:
        asked.append(settings.machine.ram_bytes)
        raise UsageError("Enough.")

    monkeypatch.setattr("trainer.stream.ram.half_of_free", lambda: 60)
    monkeypatch.setattr("trainer.experiment.plan", planned)
    call("experiment", "x.json", "--device", "cpu", "--jobs", jobs, "--cache", "ram")
    assert asked == [each]


@pytest.mark.slow
def test_an_experiment_ends_with_what_may_be_said(
    call: Call, shared: Any, tmp_path: Path, few: tuple[str, ...]
) -> None:
    asked = ("--out", tmp_path, *few, "--arm", "none", "--arm", "gan", "--seeds", "1")
    result = call("paper", shared.path, *asked, "--min-positives", "5")
    assert result.exit_code == 0, result.output
    assert "[1/2] tiny, none, seed 0" in result.stderr
    assert result.stdout.startswith("tiny:\n")
    assert (tmp_path / "report/report.html").is_file()
    again = call("experiment", shared.path, *asked, "--min-positives", "5")
    assert (again.exit_code, again.stdout, again.stderr) == (0, result.stdout, "")


def test_a_report_on_real_images_alone_says_that_it_concludes_nothing(
    call: Call, tmp_path: Path
) -> None:
    record = Path(__file__).parents[3] / "docs/results/nih-second/plain100/none-seed0"
    result = call("report", record, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "plain100:\n  no arm with synthetic images was trained, so there is nothing to conclude.\n"
    )
