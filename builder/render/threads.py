"""Threads that work while the main one goes on with the next images → what waits for a result."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

_Result = TypeVar("_Result")


class Submit(Protocol):
    """Hands a task to a thread."""

    def __call__(self, task: Callable[[], _Result], /) -> Callable[[], _Result]:
        """A function that waits for the task and gives its result, or raises what it raised."""


@contextmanager
def threads(count: int) -> Iterator[Submit]:
    """A pool of so many threads; with none, a task is done when its result is asked for.

    What is done, and in which order results are asked for, must not depend on `count`. Tasks that
    nobody waits for any more are given up at the end.
    """
    if not count:
        yield lambda task: task
        return
    pool = ThreadPoolExecutor(count)
    try:
        yield lambda task: pool.submit(task).result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
