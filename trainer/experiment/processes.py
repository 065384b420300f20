"""Several processes on this machine that stop together."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from trainer.fit.control import SIGNALS, stopped

POLL_SECONDS = 1.0

Task = Callable[[], object]  # can be pickled


def run_processes(
    tasks: Sequence[Task],
    logs: Sequence[Path],
    *,
    threads: int,
    poll: Callable[[], object] = lambda: None,
) -> list[str]:
    """What went wrong in the process of each task, "" where nothing did, once all have ended.

    Each process computes with `threads` threads; its messages go into its log. `poll` is called
    about once a second. After a signal all processes are stopped, and Stopped is raised once they
    have saved. They also stop if this process dies.
    """
    processes: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack, _listening() as signals:
        try:
            for task, log in zip(tasks, logs, strict=True):
                process = stack.enter_context(_start(log, threads=threads))
                processes.append(process)
                _send(task, process)
            while not signals and any(process.poll() is None for process in processes):
                time.sleep(POLL_SECONDS)
                poll()
        finally:
            for process in processes:
                process.terminate()
            codes = [process.wait() for process in processes]
    if signals:
        raise stopped("all processes", signals[0])
    return [_fault(code, log) for code, log in zip(codes, logs, strict=True)]


def _fault(code: int, log: Path) -> str:
    if not code:
        return ""
    if code < 0:
        died = f"A process was ended by signal {-code} ({signal.strsignal(-code)})"
        memory = ", maybe because memory ran out" if code == -signal.SIGKILL else ""
        return f"{died}{memory}"
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    return " ".join(last) or f"A process ended with exit code {code}"


@contextmanager
def _listening() -> Iterator[list[int]]:
    """A list that receives the first signal; a later signal acts as usual."""
    signals: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if signals:
            restore()
            signal.raise_signal(number)
        signals.append(number)

    def restore() -> None:
        for which, handler in before.items():
            signal.signal(which, handler)

    # What is ignored stays ignored, as SIGHUP is under nohup.
    caught = [n for n in (*SIGNALS, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in caught}
    try:
        yield signals
    finally:
        restore()


def _start(log: Path, *, threads: int) -> subprocess.Popen[bytes]:
    # Never what a link in its place leads to.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(log, flags, 0o666), "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.experiment.child"],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
        )


def _send(task: Task, process: subprocess.Popen[bytes]) -> None:
    """Send the process its task; the pipe stays open as long as this process lives."""
    assert process.stdin is not None
    try:
        pickle.dump(task, process.stdin)
        process.stdin.flush()
    except BrokenPipeError:  # it has already died, and its log says why
        with suppress(BrokenPipeError):
            process.stdin.close()
