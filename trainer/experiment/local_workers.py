"""Several processes on this machine that share the runs, one for each device or group of cores."""

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

import torch

from builder.contract import CheckError
from trainer.experiment.jobs import Paper
from trainer.experiment.processes import run_processes
from trainer.experiment.work import work
from trainer.progress import progress


def devices(device: str, jobs: int | None) -> list[str]:
    """The device of each process: every GPU in turn, where the device is not one of them.

    Without `jobs` there is a process for each GPU, or one.
    """
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    names = [f"cuda:{number}" for number in range(gpus)] if gpus > 1 else [device]
    return list(islice(cycle(names), jobs or len(names)))


def run_local_workers(paper: Paper, *, devices: Sequence[str], threads: int) -> None:
    """Every run complete that no other machine has in hand, by a process on each of `devices`.

    Each computes with so many threads; what it says goes into `paper.out`/job-HOST-PID-N.log.
    CheckError where one failed and the others could not make up for it. Stopped after a signal,
    once all of them have saved.
    """
    paper.out.mkdir(parents=True, exist_ok=True)
    name = f"job-{platform.node()}-{os.getpid()}"
    logs = [paper.out / f"{name}-{number}.log" for number in range(len(devices))]
    shares = [tuple(job.on(device) for job in paper.jobs) for device in devices]
    tasks = [partial(work, replace(paper, jobs=jobs)) for jobs in shares]
    images = {job.title: job.images for job in paper.left()}
    with progress(f"{len(images)} runs", sum(images.values())) as advance:

        def look() -> None:
            left = {job.title for job in paper.left()}
            for title in [title for title in images if title not in left]:
                advance(images.pop(title))

        faults = run_processes(tasks, logs, threads=threads, look=look)
    failed = [pair for pair in zip(faults, logs, strict=True) if pair[0]]
    if failed and paper.left():
        fault, log = failed[0]
        raise CheckError(f"{fault} (more in {log}). The same command goes on with what is left.")
