import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from builder.contract import CheckError, Stopped, UsageError
from trainer.config import RunPlan
from trainer.experiment import Experiment, work
from trainer.sweep import SweepResult, Trial
from trainer.sweep.grid import GRID, Point

Planned = Callable[..., Experiment]
Leave = Callable[[RunPlan, str], None]
WORK = sys.modules["trainer.experiment.work"]  # the function has its name


def test_every_run_is_trained_once(planned: Planned, trained: list[str]) -> None:
    experiment = planned()
    assert work(experiment)
    assert trained == ["none-seed0", "gan-seed0", "none-seed1", "gan-seed1"]
    assert work(experiment)
    assert len(trained) == 4


def test_each_run_says_where_the_experiment_stands(
    planned: Planned, trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    work(planned(seeds=1))
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] tiny, none, seed 0",
        "[2/2] tiny, gan, seed 0",
    ]
    assert len(trained) == 2


def test_what_another_process_is_training_is_left_to_it(
    planned: Planned,
    trained: list[str],
    locked: Callable[[Path], AbstractContextManager[None]],
) -> None:
    experiment = planned()
    with locked(experiment.jobs[1].plan.out):
        assert not work(experiment)
    assert trained == ["none-seed0", "none-seed1", "gan-seed1"]


def test_a_run_that_fails_does_not_keep_the_others(
    planned: Planned, trained: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train = WORK.train

    def diverges(plan: RunPlan, found: Any) -> None:
        if plan.out.name == "gan-seed0":
            raise UsageError("The loss is not finite.")
        train(plan, found)

    monkeypatch.setattr(WORK, "train", diverges)
    hint = rf"\(xtrain report {tmp_path} compares what is complete\)"
    with pytest.raises(CheckError, match=rf"1 of 4 runs failed {hint}, .* gan, seed 0: The loss"):
        work(planned())
    assert trained == ["none-seed0", "none-seed1", "gan-seed1"]


def test_a_run_that_failed_here_and_was_done_elsewhere_is_no_failure(
    planned: Planned, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = WORK.train

    def out_of_memory(plan: RunPlan, found: Any) -> None:
        train(plan, found)  # by another machine, meanwhile
        if plan.out.name == "gan-seed0":
            raise UsageError("The device does not have enough memory.")

    monkeypatch.setattr(WORK, "train", out_of_memory)
    assert work(planned())
    assert len(trained) == 4


def test_a_run_whose_report_cannot_be_read_fails_once(
    planned: Planned, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = WORK.train

    def spoils(plan: RunPlan, found: Any) -> None:
        train(plan, found)
        path = plan.out / "report.json"
        facts = json.loads(path.read_text()) | {"command": "a\tb"}
        path.write_text(json.dumps(facts))

    monkeypatch.setattr(WORK, "train", spoils)
    with pytest.raises(CheckError, match=r"2 of 2 runs failed, .* none, seed 0: .*report\.json"):
        work(planned(seeds=1))
    assert trained == ["none-seed0", "gan-seed0"]


def test_a_signal_ends_the_work(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise Stopped("in the middle", SIGTERM)

    monkeypatch.setattr(WORK, "train", stopped)
    with pytest.raises(Stopped):
        work(planned())


def test_the_grid_chooses_the_point_of_all_seeds(
    planned: Planned, trained: list[str], finish: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched, best = [], Point(lr=0.5, batch=64, optimizer="momentum")

    def sweep(plan: RunPlan, found: Any, grid: Any, storage: None) -> None:
        searched.append((plan.out.name, grid, storage))
        point = Trial(params=best, folder=best.folder, val_auc=0.7, best_epoch=1, seconds=1.0)
        worse = replace(point, folder="worse", params=replace(best, lr=0.1), val_auc=0.6)
        result = SweepResult(best=best.folder, points=(worse, point))
        run = replace(plan, out=plan.out / best.folder, recipe=best.apply(plan.recipe))
        finish(run, found.manifest.digest)
        (plan.out / "sweep.json").write_text(json.dumps(result, default=fields_of))

    def fields_of(record: Any) -> dict[str, Any]:
        return {name: getattr(record, name) for name in record.__slots__}

    monkeypatch.setattr(WORK, "sweep", sweep)
    experiment = planned(arms=("gan",), seeds=3, grid=True)
    assert work(experiment)
    assert (searched, trained) == ([("gan-grid", GRID, None)], ["gan-seed1", "gan-seed2"])
    chosen = [job.chosen() for job in experiment.jobs]
    assert [plan and plan.recipe for plan in chosen] == [
        best.apply(job.plan.recipe) for job in experiment.jobs
    ]
    assert [folder.name for folder in experiment.folders()] == [
        "lr0.5-batch64-momentum",
        "gan-seed1",
        "gan-seed2",
    ]
    assert work(experiment)
    assert (len(searched), len(trained)) == (1, 2)


def test_a_grid_that_failed_is_not_searched_with_another_seed(
    planned: Planned, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []

    def fails(plan: RunPlan, *_: Any) -> None:
        seeds.append(plan.recipe.seed)
        raise UsageError("All 18 points of the sweep failed.")

    monkeypatch.setattr(WORK, "sweep", fails)
    with pytest.raises(CheckError, match=r"2 of 2 runs failed, .* gan, seed 0: All 18 points"):
        work(planned(arms=("gan",), grid=True))
    assert (seeds, trained) == ([0], [])


def test_a_trained_run_is_scored_elsewhere_without_training(
    planned: Planned,
    trained: list[str],
    scored: list[str],
    sealer: Callable[..., Any],
    tmp_path: Path,
) -> None:
    counts = {("train", "real"): 9, ("val", "real"): 9, ("test", "real"): 20}
    there = str(sealer(tmp_path / "there", counts=counts).path)
    assert work(planned(seeds=1))
    assert trained == ["none-seed0", "gan-seed0"]
    experiment = planned(seeds=1, tests=[there])
    assert len(experiment.left()) == 2
    assert work(experiment)
    assert (trained, scored) == (["none-seed0", "gan-seed0"], ["none-seed0", "gan-seed0"])
    assert work(experiment)
    assert len(scored) == 2
    assert planned(seeds=1).left() == []


def test_scores_that_cannot_be_read_back_end_the_work(
    planned: Planned,
    trained: list[str],
    sealer: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = str(
        sealer(tmp_path / "there", counts={("train", "real"): 9, ("test", "real"): 20}).path
    )
    monkeypatch.setattr(WORK, "score_elsewhere", lambda _: None)
    work(planned(seeds=1, arms=("none",)))
    with pytest.raises(CheckError, match="what was scored there cannot be read back"):
        work(planned(seeds=1, arms=("none",), tests=[there]))
    assert trained == ["none-seed0"]
