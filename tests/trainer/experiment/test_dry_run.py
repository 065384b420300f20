from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.config import RunPlan
from trainer.experiment import Experiment, dry_run, estimate, measure
from trainer.experiment.speed import Speed

Planned = Callable[..., Experiment]
SPEED = Speed(training=10, scoring=100, reading=1000, start=2, save=3)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_estimate_is_measured_and_counts_what_is_left(
    planned: Planned,
    finish: Callable[[RunPlan, str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    jobs: int,
) -> None:
    monkeypatch.setattr(measure, "SECONDS", 0.2)
    experiment = planned()
    finish(experiment.jobs[0].plan, experiment.jobs[0].digest)
    rows, sentence = estimate(experiment, ["cpu"] * jobs, threads=1)
    assert [*rows.columns[3].cells] == ["1", "2"]
    assert sentence.startswith("3 of 4 runs are left; they take about ")
    assert ("with 2 processes" in sentence) == (jobs == 2)
    assert "32×32 px: training" in sentence
    assert not [*tmp_path.rglob("*xtrain-*")]  # nothing is left over
    for job in experiment.jobs:
        finish(job.plan, job.digest)
    monkeypatch.setattr(dry_run, "measure", None)  # there is nothing to measure for
    assert estimate(experiment, ["cpu"] * jobs, threads=1)[1] == "All 4 runs are complete."


def test_scoring_elsewhere_is_no_training(
    planned: Planned,
    finish: Callable[[RunPlan, str], None],
    sealer: Callable[..., Any],
    tmp_path: Path,
) -> None:
    there = sealer(tmp_path / "there", counts={("train", "real"): 9, ("test", "real"): 20})
    experiment = planned(seeds=1, tests=[str(there.path)])
    for job in experiment.jobs:
        finish(job.plan, job.digest)
    said = "All 2 runs are trained; 2 are left to score elsewhere."
    assert estimate(experiment, ["cpu"], threads=1)[1] == said


def test_a_grid_is_shared_by_all_processes_and_its_runs_follow(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "measure", lambda *_: SPEED)
    experiment = planned(arms=("gan",), seeds=3, grid=True)
    run, grid = SPEED.run(experiment.jobs[0]), SPEED.grid(experiment.jobs[0], 2)
    _, sentence = estimate(experiment, ["cuda:0", "cuda:1"], threads=1)
    assert f"about {round((grid + run) / 60)} minutes with 2 processes" in sentence


def test_the_table_has_a_row_for_each_arm(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "measure", lambda *_: SPEED)
    experiment = planned()
    rows, _ = estimate(experiment, ["cpu"], threads=1)
    minutes = f"{SPEED.run(experiment.jobs[0]) / 60:.1f}"
    cells = [[*column.cells] for column in rows.columns]
    assert cells == [
        ["tiny", "tiny"],
        ["none", "gan"],
        ["2", "2"],
        ["2", "2"],
        ["129", "129"],
        [minutes, minutes],
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(59.6, "60 seconds"), (89, "89 seconds"), (119 * 60, "119 minutes"), (7229, "2 h 0 min")],
)
def test_a_duration_is_given_in_the_unit_that_suits_it(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    fast = Speed(training=1e9, scoring=1e9, reading=1e9, start=seconds, save=0)
    monkeypatch.setattr(dry_run, "measure", lambda *_: fast)
    _, sentence = estimate(planned(arms=("gan",), seeds=1), ["cpu"], threads=1)
    assert f"they take about {said} (" in sentence
