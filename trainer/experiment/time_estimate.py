"""How long runs will take, by a few steps of a real one."""

import heapq
import json
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from builder.contract import CheckError, Stopped, write_last
from builder.contract.weights import weights_bytes
from trainer.experiment.jobs import Job
from trainer.experiment.processes import run_processes
from trainer.fit.loop import Run
from trainer.fit.score import outputs
from trainer.model import build
from trainer.stream.batches import Dataset, batches
from trainer.stream.order import Rows
from trainer.sweep import GRID
from trainer.train import Ready, prepared

SECONDS = 6.0  # of each measurement
NOTE = "pace.json"
_NOTHING_KEPT = "Stopped while measuring; nothing was kept."
WARM = 2  # steps that are not counted: memory and kernels are found in them


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """How fast this device is with images of one size."""

    training: float  # images/s
    scoring: float  # images/s, of a network that only looks
    reading: float  # images/s, of decoding alone
    start: float  # seconds before a run's first step: network, hashing of the shards
    save: float  # seconds per epoch: checkpoint and weights

    def run(self, job: Job) -> float:
        """How many seconds a whole run takes."""
        return self._epochs(job) + self._once(job)

    def grid(self, job: Job, jobs: int) -> float:
        """How many seconds all points of a grid take, which `jobs` processes share.

        They wait for its last point. Test images are scored once, by the best one.
        """
        points = len(GRID.points())
        return math.ceil(points / jobs) * self._epochs(job) + self._once(job)

    def _epochs(self, job: Job) -> float:
        between = job.val / self.scoring + self.save
        return job.images / self.training + job.config.recipe.epochs * between

    def _once(self, job: Job) -> float:
        return self.start + job.test / self.reading + (job.val + job.test) / self.scoring


def measure(job: Job, devices: Sequence[str], threads: int) -> TimeEstimate:
    """The mean pace of runs like this one, by a process on each device with so many threads.

    After a signal Stopped says that nothing was kept.
    """
    each = [job.on(device) for device in devices]
    try:
        with _scratch(job.config.out) as folder:
            if len(each) == 1:
                return _measured(each[0], folder)
            return _mean(each, folder, threads)
    except KeyboardInterrupt:
        raise Stopped(_NOTHING_KEPT, signal.SIGINT) from None
    except Stopped as stopped:  # it says that all was saved
        raise Stopped(_NOTHING_KEPT, stopped.exit_code - 128) from None


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder where the runs will be, so that saving is timed on their disk; gone at the end."""
    there = next(path for path in out.resolve().parents if path.is_dir())
    if not os.access(there, os.W_OK):
        there = Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=".xtrain-", dir=there) as folder:
        yield Path(folder)


def _mean(each: Sequence[Job], folder: Path, threads: int) -> TimeEstimate:
    """The mean of what a process for each job measures, all of them at once."""
    folders = [folder / str(number) for number in range(len(each))]
    logs = [folder / f"{number}.log" for number in range(len(each))]
    tasks = [partial(_note, *pair) for pair in zip(each, folders, strict=True)]
    for own in folders:
        own.mkdir()
    if faults := [fault for fault in run_processes(tasks, logs, threads=threads) if fault]:
        raise CheckError(f"The pace could not be measured: {faults[0]}")
    found = [json.loads((own / NOTE).read_bytes()) for own in folders]
    return TimeEstimate(
        **{name: float(np.mean([note[name] for note in found])) for name in found[0]}
    )


def _note(job: Job, folder: Path) -> None:
    (folder / NOTE).write_text(json.dumps(asdict(_measured(job, folder))))


def _measured(job: Job, folder: Path) -> TimeEstimate:
    """The pace in this process, measured on the run's dataset."""
    began = time.perf_counter()
    out = folder / "run"
    out.mkdir()
    with prepared(replace(job.config, out=out)) as ready:
        data, recipe, place = ready.data, ready.config.recipe, ready.place(out)
        arm = ready.arm(recipe)
        model = build(data.manifest.pathologies, init=recipe.init, seed=recipe.seed)
        run = Run.begin(data, arm, model, recipe, place, {})
        opened = time.perf_counter() - began
        reading = _rate(partial(_read, data, ready), data.rows("test"), recipe.batch)
        training = _rate(partial(_train, run), arm.order.epoch(1), recipe.batch)
        look = partial(outputs, data, model, place=place, size=recipe.batch, what="scoring")
        scoring = _rate(look, data.rows("val"), recipe.batch)
        save = _seconds(partial(_save, run))
    return TimeEstimate(
        training=training,
        scoring=scoring,
        reading=reading,
        start=max(0.0, opened - job.test / reading),  # the test images were read, once more
        save=save,
    )


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """How long `jobs` processes take for runs that they take up in this order."""
    busy = [0.0] * jobs
    for each in seconds:
        heapq.heapreplace(busy, busy[0] + each)
    return max(busy)


def _rate(show: Callable[[Rows], object], rows: Rows, batch: int) -> float:
    """Images per second of `show`, over as many of the rows as take SECONDS."""
    if not len(rows):
        return math.inf
    few = np.resize(rows, WARM * batch)
    show(few)
    count = batch * math.ceil(SECONDS * WARM / max(_seconds(partial(show, few)), 1e-9))
    some = np.resize(rows, count)
    return count / _seconds(partial(show, some))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _read(data: Dataset, ready: Ready, rows: Rows) -> None:
    size, workers = ready.config.recipe.batch, ready.config.workers
    with closing(batches(data, rows, size=size, workers=workers, what="reading")) as stream:
        for _ in stream:
            pass


def _train(run: Run, rows: Rows) -> None:
    run.state.cursor = replace(run.state.cursor, position=0)
    run.train(rows)


def _save(run: Run) -> None:
    run.save()
    write_last(run.place.out / "best.safetensors", weights_bytes(run.model, run._header(1)))
