from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from signal import SIGINT
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from builder.contract import CheckError, Stopped
from trainer.experiment import Experiment, RunJob, estimate, measure
from trainer.experiment.speed import Speed
from trainer.fit.loop import TrainingRun
from trainer.stream.order import Rows

Planned = Callable[..., Experiment]
SPEED = Speed(training=10, scoring=100, reading=1000, start=2, save=3)


def test_each_process_measures_its_own_device(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measured(job: RunJob, _: Path) -> Speed:
        asked.append(job.plan.machine.device)
        return replace(SPEED, training=SPEED.training + len(asked))

    def here(tasks: Sequence[Callable[[], object]], *_: Any, threads: int) -> list[str]:
        assert threads == 3
        return [str(task() or "") for task in tasks]

    monkeypatch.setattr(measure, "_measured", measured)
    monkeypatch.setattr(measure, "run_processes", here)
    mean = replace(SPEED, training=SPEED.training + 1.5)
    assert measure.measure(planned().jobs[0], ["cuda:0", "cuda:1"], 3) == mean
    assert asked == ["cuda:0", "cuda:1"]


def test_a_run_is_measured_and_leaves_nothing(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measure, "SECONDS", 0.1)
    found = measure.measure(planned().jobs[0], ["cpu"], 1)
    assert min(found.training, found.scoring, found.reading, found.save) > 0
    assert found.start >= 0
    assert not [*tmp_path.rglob("*xtrain-*")]
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize("batch", [16, 128])  # a batch may be larger than an epoch
def test_a_fast_device_takes_whole_epochs_of_weighted_images(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    ticks = count()  # each pass takes a second of this clock
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    network = nn.Sequential(nn.Flatten())
    network.add_module("classifier", nn.Linear(32 * 32, 3))
    monkeypatch.setattr(measure, "build_for", lambda *_: network)
    job = planned(arms=("gan",), weights=(0.5,), batch=batch).jobs[0]
    lengths, train = list[int](), TrainingRun.train

    def noted(run: TrainingRun, rows: Rows) -> None:
        lengths.append(len(rows))
        train(run, rows)

    monkeypatch.setattr(TrainingRun, "train", noted)
    found = measure.measure(job, ["cpu"], 1)
    many = lengths[2:] if batch == 16 else lengths[4:]
    assert {*many} == {97 + 32}
    assert found.training == sum(many) >= 6 * 2 * batch


def test_a_device_that_cannot_measure_is_a_failure(
    planned: Planned, child: Callable[[str], None]
) -> None:
    child("print('No such GPU.'); raise SystemExit(2)")
    with pytest.raises(CheckError, match=r"^The speed could not be measured: No such GPU\.$"):
        measure.measure(planned().jobs[0], ["cpu", "cpu"], 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped("somewhere", SIGINT)])
def test_a_signal_while_measuring_claims_nothing(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stopped(*_: Any) -> Speed:
        raise error

    monkeypatch.setattr(measure, "_measured", stopped)
    with pytest.raises(Stopped, match=r"^Stopped while measuring; nothing was kept\.$") as found:
        estimate(planned(), ["cpu"], threads=1)
    assert found.value.exit_code == 130
