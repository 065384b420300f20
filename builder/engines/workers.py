"""Jobs over processes: one process makes a shard from beginning to end → Shards.

Which process makes a shard, how many processes there are and in which order they end changes no
byte.
"""

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import TypeVar

from builder.contract import CheckError
from builder.progress import Advance
from builder.write import Shard, ShardJob, write_each

_T = TypeVar("_T")

_SHARE, _LONGEST = 4, 8  # runs of a process at least, and shards of a run at most


def write_shards(
    jobs: Sequence[ShardJob], *, workers: int, advance: Advance, gpus: Sequence[str] = ()
) -> list[Shard]:
    """The shards of all jobs in the jobs' order, made by `workers` processes.

    Each process sees one of the `gpus`, named as in CUDA_VISIBLE_DEVICES.
    """
    if workers == 1 or len(jobs) <= 1:
        return list(write_each(jobs, advance))
    context = get_context("spawn")  # a forked torch hangs
    counter, started, stop = context.Value("q", 0), context.Value("i", 0), context.Event()
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)),
        context,
        initializer=_start_worker,
        initargs=(counter, started, gpus, stop),
    )
    try:
        # Workers start on submit and keep the signal mask: Ctrl-C is the parent's to handle.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        futures = [pool.submit(_work, run) for run in runs_of(jobs, workers)]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        waiting, told = set(futures), 0
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()  # the first failure ends the build; complete shards stay
            now = counter.value
            advance(now - told)
            told = now
        return [shard for future in futures for shard in future.result()]
    except BrokenProcessPool:
        raise CheckError(
            "A worker process was killed (out of memory?). Complete shards are kept: run the same "
            "command with fewer --workers to resume."
        ) from None
    finally:
        stop.set()  # Ctrl-C or a failure: unfinished shards are given up at the next advance
        pool.shutdown(wait=True, cancel_futures=True)


def runs_of(jobs: Sequence[_T], workers: int) -> list[Sequence[_T]]:
    """Jobs that a process does one after another, so that it need not wait for a shard's end.

    They are few enough that no process is idle for long at the end, nor holds much meanwhile.
    """
    length = max(min(len(jobs) // (_SHARE * workers), _LONGEST), 1)
    return [jobs[start : start + length] for start in range(0, len(jobs), length)]


_shared: "tuple[Synchronized[int], Event] | None" = None


def _start_worker(
    counter: "Synchronized[int]", started: "Synchronized[int]", gpus: Sequence[str], stop: Event
) -> None:
    """Set up a worker: it reports progress, obeys `stop`, and ends when its parent does."""
    global _shared
    _shared = counter, stop
    with started.get_lock():
        number = started.value
        started.value += 1
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]  # before CUDA starts here
    if parent := parent_process():
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # a killed build must leave no process that still writes


def _work(jobs: Sequence[ShardJob]) -> list[Shard]:
    def advance(images: int) -> None:
        assert _shared is not None
        counter, stop = _shared
        if stop.is_set():
            raise InterruptedError("the build was stopped")
        with counter.get_lock():
            counter.value += images

    return list(write_each(jobs, advance))
