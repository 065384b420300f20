"""A run of the experiment → Speed, by a few of its steps on each device."""

import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np

from builder.contract import CheckError, Stopped, write_last
from builder.contract.record import read_record, to_json
from trainer.experiment.jobs import RunJob
from trainer.experiment.processes import run_processes
from trainer.experiment.speed import Speed
from trainer.fit.loop import TrainingRun
from trainer.fit.score import outputs, scoring_batch
from trainer.model import build_for
from trainer.stream.order import Rows
from trainer.train import prepared, rehearse

SECONDS = 6.0  # of each measurement
WARM_UP = 2  # steps that are not counted: memory is allocated and kernels are chosen in them
RESULT = "speed.json"
_NOTHING_KEPT = "Stopped while measuring; nothing was kept."


def measure(job: RunJob, devices: Sequence[str], threads: int) -> Speed:
    """The mean speed of runs like this one, by a process of `threads` threads on each device.

    After a signal Stopped says that nothing was kept.
    """
    jobs = [job.on(device) for device in devices]
    try:
        with _scratch(job.plan.out) as folder:
            if len(jobs) == 1:
                return _measured(jobs[0], folder)
            return _mean(_measured_at_once(jobs, folder, threads))
    except KeyboardInterrupt:
        raise Stopped(_NOTHING_KEPT, signal.SIGINT) from None
    except Stopped as stopped:  # its message says that all was saved
        raise Stopped(_NOTHING_KEPT, stopped.exit_code - 128) from None


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A temporary folder where the runs will be, so that saving is timed on their disk."""
    parent = next(path for path in out.resolve().parents if path.is_dir())
    if not os.access(parent, os.W_OK):
        parent = Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=".xtrain-", dir=parent) as folder:
        yield Path(folder)


def _measured_at_once(jobs: Sequence[RunJob], folder: Path, threads: int) -> list[Speed]:
    """What a process for each job measures, all of them at the same time."""
    folders = [folder / str(number) for number in range(len(jobs))]
    logs = [folder / f"{number}.log" for number in range(len(jobs))]
    for own in folders:
        own.mkdir()
    tasks = [partial(_save_measured, *pair) for pair in zip(jobs, folders, strict=True)]
    if faults := [fault for fault in run_processes(tasks, logs, threads=threads) if fault]:
        raise CheckError(f"The speed could not be measured: {faults[0]}")
    return [read_record(own / RESULT, Speed) for own in folders]


def _mean(speeds: Sequence[Speed]) -> Speed:
    names = (field.name for field in fields(Speed))
    return Speed(**{name: fmean(getattr(each, name) for each in speeds) for name in names})


def _save_measured(job: RunJob, folder: Path) -> None:
    write_last(folder / RESULT, to_json(_measured(job, folder)).encode())


def _measured(job: RunJob, folder: Path) -> Speed:
    """What this process measures, on the run's dataset."""
    began = time.perf_counter()
    plan = replace(job.plan, out=folder / "run")
    plan.out.mkdir()
    with prepared(plan, plan.locate()) as ready:
        data, recipe, place = ready.data, plan.recipe, ready.place(plan.out)
        arm = ready.arm(recipe)
        model = build_for(data.manifest, recipe)
        run = TrainingRun.begin(data, arm, model, ready.describe(plan), place)
        opened = time.perf_counter() - began
        read = partial(rehearse, data, plan, ready.fabric)
        reading = _rate(read, data.rows("test"), recipe.batch)
        training = _rate(partial(_train, run), arm.order.epoch(1), recipe.batch)
        score = partial(outputs, data, model, place=place, what="scoring")
        scoring = _rate(score, data.rows("val"), scoring_batch(ready.fabric.device))
        save = _seconds(partial(_save, run))
    return Speed(
        training=training,
        scoring=scoring,
        reading=reading,
        start=max(0.0, opened - job.test / reading),  # opening has read the test images once
        save=save,
    )


def _rate(work: Callable[[Rows], object], rows: Rows, batch: int) -> float:
    """Images per second of `work`, over as many of the rows as take SECONDS.

    Where that takes more than all of them, they are repeated as a whole.
    """
    few = _at_least(WARM_UP * batch, rows)
    work(few)
    steps = SECONDS * len(few) / batch / max(_seconds(partial(work, few)), 1e-9)
    many = _at_least(batch * math.ceil(steps), rows)
    return len(many) / _seconds(partial(work, many))


def _at_least(count: int, rows: Rows) -> Rows:
    """The first `count` rows; all of them, again and again, where there are fewer."""
    return rows[:count] if count < len(rows) else np.tile(rows, -(-count // len(rows)))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _train(run: TrainingRun, rows: Rows) -> None:
    """Take the steps of `rows`: some of an epoch, or whole epochs, one by one as a run does."""
    length = run.arm.order.count(run.state.cursor.epoch)
    for start in range(0, len(rows), length):
        run.state.cursor = replace(run.state.cursor, position=0)
        run.train(rows[start : start + length])


def _save(run: TrainingRun) -> None:
    run.save()
    run.save_weights(epoch=1)
