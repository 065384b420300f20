"""Tasks in, futures out: threads that nobody waits for when one hangs on a stalled connection.

Those of `concurrent.futures` are waited for at the end of a process, so that Ctrl-C would seem to
do nothing until a connection times out.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

GRACE = 1.0  # seconds in which a task can end by itself
LOOK = 0.2  # seconds between two looks whether anybody still wants what is waited for

P = ParamSpec("P")
T = TypeVar("T")


class Threads(Executor):
    """Up to a number of threads. As a context it waits for all tasks, after an error for GRACE."""

    def __init__(self, count: int) -> None:
        """No thread runs before there is a task for it."""
        self._count = count
        self._threads: list[Thread] = []
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], object]] | None] = SimpleQueue()
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The future of a call that a thread makes."""
        if self._ended:
            raise RuntimeError("These threads were ended.")
        future: Future[T] = Future()
        self._tasks.put((future, partial(fn, *args, **kwargs)))
        if len(self._threads) < self._count:
            self._threads.append(Thread(target=self._work, daemon=True))
            self._threads[-1].start()
        return future

    def stop(self) -> None:
        """Cancel what has not begun; what has gets GRACE, and is then left alone."""
        self.shutdown(wait=False, cancel_futures=True)
        last = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0, last - time.monotonic()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End when the tasks are done; `cancel_futures` cancels those that have not begun."""
        self._ended = True
        with suppress(Empty):
            while cancel_futures:
                if task := self._tasks.get_nowait():
                    task[0].cancel()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the tasks."""
        if kind is None:
            self.shutdown()
        else:
            self.stop()

    def _work(self) -> None:
        while task := self._tasks.get():
            future, call = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # it is raised where the result is asked for
                    future.set_exception(error)


def within(seconds: float, ask: Callable[[], T], alive: Callable[[], object] = lambda: None) -> T:
    """What `ask` gives; TimeoutError where it takes longer, and then nobody waits for it.

    `alive` is called again and again meanwhile, and ends the wait where it raises.
    """
    thread = Threads(1)
    answer = thread.submit(ask)
    thread.shutdown(wait=False)  # after this task
    last = time.monotonic() + seconds
    while wait([answer], min(LOOK, max(last - time.monotonic(), 0))).not_done:
        alive()
        if time.monotonic() > last:
            raise TimeoutError
    return answer.result()
