"""Several processes on this machine that share the runs, one for each device or group of cores."""

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

import torch

from builder.contract import CheckError
from trainer.experiment.jobs import Experiment
from trainer.experiment.processes import run_processes
from trainer.experiment.work import work
from trainer.progress import progress


def devices(device: str, jobs: int | None) -> list[str]:
    """The device of each process: every GPU in turn, or `device` if it names one device.

    Without `jobs` there is one process per GPU, or one.
    """
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    names = [f"cuda:{number}" for number in range(gpus)] if gpus > 1 else [device]
    return list(islice(cycle(names), jobs or len(names)))


def run_local_workers(experiment: Experiment, *, devices: Sequence[str], threads: int) -> None:
    """Complete every run that no other machine is training, by a process on each of `devices`.

    Each process computes with `threads` threads; its messages go into job-HOST-PID-N.log in
    `experiment.out`. CheckError where a process failed and runs are left. Stopped after a signal,
    once all processes have saved.
    """
    experiment.out.mkdir(parents=True, exist_ok=True)
    name = f"job-{platform.node()}-{os.getpid()}"
    logs = [experiment.out / f"{name}-{number}.log" for number in range(len(devices))]
    shares = [tuple(job.on(device) for job in experiment.jobs) for device in devices]
    tasks = [partial(work, replace(experiment, jobs=jobs)) for jobs in shares]
    images = {job.title: job.images for job in experiment.left()}
    with progress(f"{len(images)} runs", sum(images.values())) as advance:

        def count_complete() -> None:
            left = {job.title for job in experiment.left()}
            for title in [title for title in images if title not in left]:
                advance(images.pop(title))

        faults = run_processes(tasks, logs, threads=threads, poll=count_complete)
    failed = [pair for pair in zip(faults, logs, strict=True) if pair[0]]
    if failed and experiment.left():
        fault, log = failed[0]
        raise CheckError(
            f"{fault} (more in {log}). The same command resumes the runs that are left."
        )
