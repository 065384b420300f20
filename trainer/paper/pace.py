"""How long runs will take, by a few steps of a real one."""

import heapq
import math
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from builder.contract import UsageError
from trainer.control import Stopped
from trainer.fit import Run
from trainer.model import build, save_weights
from trainer.order import Rows
from trainer.paper.runs import Job
from trainer.score import outputs
from trainer.stream import Dataset, batches
from trainer.sweep import GRID
from trainer.train import Ready, prepared

SECONDS = 6.0  # of each measurement
WARM = 2  # steps that are not counted: memory and kernels are found in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
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
        points = math.prod(map(len, GRID.values()))
        return math.ceil(points / jobs) * self._epochs(job) + self._once(job)

    def _epochs(self, job: Job) -> float:
        between = job.val / self.scoring + self.save
        return job.images / self.training + job.config.recipe.epochs * between

    def _once(self, job: Job) -> float:
        return self.start + job.test / self.reading + (job.val + job.test) / self.scoring


def measure(job: Job, devices: Sequence[str], threads: int) -> Pace:
    """The mean pace of runs like this one, by a process on each device with so many threads.

    After a signal UsageError says that nothing was kept.
    """
    each = [job.on(device, threads) for device in devices]
    try:
        if len(each) == 1:
            return _measure(each[0])
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(len(each), context, torch.set_num_threads, (threads,)) as pool:
            found = [astuple(pace) for pace in pool.map(_measure, each)]
    except KeyboardInterrupt:
        raise _stopped(128 + signal.SIGINT) from None
    return Pace(**dict(zip(Pace.__slots__, np.mean(found, axis=0).tolist(), strict=True)))


def _stopped(exit_code: int) -> UsageError:
    error = UsageError("Stopped while measuring; nothing was kept.")
    error.exit_code = exit_code
    return error


def _measure(job: Job) -> Pace:
    """The pace in this process, measured on the run's dataset; nothing is kept."""
    try:
        return _measured(job)
    except Stopped as stopped:  # it says that all was saved
        raise _stopped(stopped.exit_code) from None


def _measured(job: Job) -> Pace:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="xtrain-") as folder:
        out = Path(folder) / "run"
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
    return Pace(
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
    save_weights(run.model, {})
