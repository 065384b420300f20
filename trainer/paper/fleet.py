"""Several processes on this machine that share the runs, one for each device or group of cores."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import torch

from builder.contract import CheckError
from trainer.control import SIGNALS, Stopped
from trainer.paper.runs import Paper
from trainer.progress import progress

LOOK = 1.0  # seconds between looks


def devices(device: str, jobs: int | None) -> list[str]:
    """The device of each process: every GPU in turn, where the device is not one of them.

    Without `jobs` there is a process for each GPU, or one.
    """
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    names = [f"cuda:{number}" for number in range(gpus)] if gpus > 1 else [device]
    return list(islice(cycle(names), jobs or len(names)))


def fleet(paper: Paper, command: Sequence[str], *, devices: Sequence[str], threads: int) -> None:
    """Every run complete, by a process on each of `devices`, which may repeat.

    `command` is this one without its --jobs and --device. What a process says goes into
    `paper.out`/job-N.log. CheckError where one failed. A signal is passed on to all of them, and
    Stopped says so once they have saved.
    """
    paper.out.mkdir(parents=True, exist_ok=True)
    logs = [paper.out / f"job-{number}.log" for number in range(len(devices))]
    crew: list[subprocess.Popen[bytes]] = []
    with _signals() as came:
        try:
            for device, log in zip(devices, logs, strict=True):
                words = [*command, f"--device={device}", "--jobs=1"]
                crew.append(_start(words, log, threads=threads))
            _watch(paper, crew, came)
        finally:
            for process in crew:
                if process.poll() is None:
                    process.send_signal(came[0] if came else signal.SIGTERM)
            codes = [process.wait() for process in crew]
    if came:
        raise Stopped("all processes", came[0])
    for code, log in zip(codes, logs, strict=True):
        if code:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise CheckError(f"{' '.join(last) or f'A process ended with {code}.'} (more in {log})")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that came since."""
    came: list[int] = []
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Sequence[str], log: Path, *, threads: int) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-c", "from trainer.cli import main; main()", *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C comes to this process alone, which passes it on
        )


def _watch(paper: Paper, crew: Sequence[subprocess.Popen[bytes]], came: Sequence[int]) -> None:
    """Wait until all processes have ended, or a signal came."""
    images = {job.title: job.images * job.config.recipe.epochs for job in paper.left()}
    with progress(f"{len(images)} runs", sum(images.values())) as advance:
        while not came and any(process.poll() is None for process in crew):
            time.sleep(LOOK)
            left = {job.title for job in paper.left()}
            for title in [title for title in images if title not in left]:
                advance(images.pop(title))
