"""Jobs over processes: one process makes a shard from beginning to end → Shards.

Which process makes a shard, how many processes there are and in which order they end changes no
byte.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

from builder.contract import CheckError
from builder.progress import Advance
from builder.write import Shard, ShardJob, write_each


def write_shards(
    jobs: Sequence[ShardJob], *, workers: int, advance: Advance, gpus: Sequence[str] = ()
) -> list[Shard]:
    """The shards of all jobs in the jobs' order, made by `workers` processes.

    Each process sees one of the `gpus`, named as in CUDA_VISIBLE_DEVICES.
    """
    if workers == 1 or len(jobs) <= 1:
        return list(write_each(jobs, advance))
    context = get_context("spawn")  # a forked torch hangs
    count = min(workers, len(jobs))
    shared = _Shared(
        counter=context.Value("q", 0),
        started=context.Value("i", 0),
        stop=context.Event(),
        todo=context.Queue(),
    )
    for numbered in [*enumerate(jobs), *[None] * count]:
        shared.todo.put(numbered)
    pool = ProcessPoolExecutor(
        count, context, initializer=_start_worker, initargs=(shared, tuple(gpus))
    )
    try:
        # Workers start on submit and keep the signal mask: Ctrl-C is the parent's to handle.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        futures = [pool.submit(_work) for _ in range(count)]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        made = dict(_collected(shared, futures, advance))
        return [made[number] for number in range(len(jobs))]
    except BrokenProcessPool:
        raise CheckError(
            "A worker process was killed (out of memory?). Complete shards are kept: run the same "
            "command with fewer --workers to resume."
        ) from None
    finally:
        shared.stop.set()  # Ctrl-C or a failure: unfinished shards are given up at the next advance
        shared.todo.cancel_join_thread()  # nobody reads the rest
        pool.shutdown(wait=True, cancel_futures=True)


_Numbered = tuple[int, Shard]  # and the number of its job


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the processes share."""

    counter: "Synchronized[int]"  # images done
    started: "Synchronized[int]"  # processes
    stop: Event
    todo: "Queue[tuple[int, ShardJob] | None]"  # numbered; at the end None for each process


def _collected(
    shared: _Shared, futures: Sequence[Future[list[_Numbered]]], advance: Advance
) -> Iterator[_Numbered]:
    """All shards with their jobs' numbers; what a process raises ends the build."""
    waiting, told = set(futures), 0
    while waiting:
        done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in done:
            yield from future.result()  # the first failure ends the build; complete shards stay
        now = shared.counter.value
        advance(now - told)
        told = now


_shared: _Shared | None = None


def _start_worker(shared: _Shared, gpus: Sequence[str]) -> None:
    """Set up a worker: it reports progress, obeys `stop`, and ends when its parent does."""
    global _shared
    _shared = shared
    with shared.started.get_lock():
        number = shared.started.value
        shared.started.value += 1
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]  # before CUDA starts here
    if parent := parent_process():
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # a killed build must leave no process that still writes


def _work() -> list[_Numbered]:
    """Make shards until there is none to make."""
    assert _shared is not None
    shared, numbers = _shared, deque[int]()

    def advance(images: int) -> None:
        if shared.stop.is_set():
            raise InterruptedError("the build was stopped")
        with shared.counter.get_lock():
            shared.counter.value += images

    def jobs() -> Iterator[ShardJob]:
        while (numbered := shared.todo.get()) is not None:
            numbers.append(numbered[0])
            yield numbered[1]

    return [(numbers.popleft(), shard) for shard in write_each(jobs(), advance)]
