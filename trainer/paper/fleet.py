"""Several processes on this machine that share the runs, one for each device or group of cores."""

import os
import pickle
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from types import FrameType

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


def fleet(paper: Paper, *, devices: Sequence[str], threads: int) -> None:
    """Every run complete that no other machine has in hand, by a process on each of `devices`.

    What a process says goes into `paper.out`/job-HOST-PID-N.log. CheckError where one failed and
    the others could not make up for it. After a signal all of them are stopped, and Stopped says so
    once they have saved; they stop as well if this process dies.
    """
    paper.out.mkdir(parents=True, exist_ok=True)
    name = f"job-{platform.node()}-{os.getpid()}"
    logs = [paper.out / f"{name}-{number}.log" for number in range(len(devices))]
    crew: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack, _listening() as came:
        try:
            for device, log in zip(devices, logs, strict=True):
                jobs = tuple(job.on(device, threads) for job in paper.jobs)
                process = stack.enter_context(_start(log, threads=threads))
                crew.append(process)
                _send(replace(paper, jobs=jobs), process)
            _watch(paper, crew, came)
        finally:
            for process in crew:
                process.terminate()
            codes = [process.wait() for process in crew]
    if came:
        raise Stopped("all processes", came[0])
    faults = [_fault(code, log) for code, log in zip(codes, logs, strict=True) if code]
    if faults and paper.left():
        raise CheckError(faults[0])


def _fault(code: int, log: Path) -> str:
    if code < 0:
        died = f"A process was ended by signal {-code} ({signal.strsignal(-code)})"
        memory = ", maybe for want of memory" if code == -signal.SIGKILL else ""
        return f"{died}{memory}: the same command goes on with its run (more in {log})."
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    return f"{' '.join(last) or f'A process ended with {code}.'} (more in {log})"


@contextmanager
def _listening() -> Iterator[list[int]]:
    """The signal that came; a later one acts as it always does."""
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if came:
            restore()
            signal.raise_signal(number)
        came.append(number)

    def restore() -> None:
        for which, handler in before.items():
            signal.signal(which, handler)

    heard = [n for n in (*SIGNALS, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield came
    finally:
        restore()


def _start(log: Path, *, threads: int) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.paper.child"],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C comes to this process alone, which passes it on
        )


def _send(paper: Paper, process: subprocess.Popen[bytes]) -> None:
    """Tell the process its work; the pipe stays open as long as this process lives."""
    assert process.stdin is not None
    try:
        pickle.dump(paper, process.stdin)
        process.stdin.flush()
    except BrokenPipeError:  # it has died already, and its log says why
        with suppress(BrokenPipeError):
            process.stdin.close()


def _watch(paper: Paper, crew: Sequence[subprocess.Popen[bytes]], came: Sequence[int]) -> None:
    """Wait until all processes have ended, or a signal came."""
    images = {job.title: job.images for job in paper.left()}
    with progress(f"{len(images)} runs", sum(images.values())) as advance:
        while not came and any(process.poll() is None for process in crew):
            time.sleep(LOOK)
            left = {job.title for job in paper.left()}
            for title in [title for title in images if title not in left]:
                advance(images.pop(title))
