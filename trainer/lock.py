"""A folder as one process's own, among all machines that see it."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from builder.contract import UsageError

LOCK = ".lock"  # a file, for over NFS only what is open for writing can be locked
LOOK = 1.0  # seconds between looks at a lock that is waited for

_mine: dict[Path, tuple[int, int]] = {}  # the thread that holds the folder


class NoLocksError(UsageError):
    """The file system has no locks."""


@contextmanager
def hold(folder: Path, *, wait: Callable[[float], object] | None) -> Iterator[bool]:
    """Whether the folder's lock is this process's, until the block ends or the process dies.

    `wait(seconds)` is called as long as another has it, and may raise to end that; with None the
    answer is False. A thread that has it already gets it again. NoLocksError where that cannot be.
    """
    if holds(folder):
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / LOCK
    with path.open("a") as file:
        while not (held := _lock(file, folder)) and wait is not None:
            wait(LOOK)
        if held:
            _mine[path] = _thread()
        try:
            yield held
        finally:
            if held:
                del _mine[path]


def holds(folder: Path) -> bool:
    """Whether this thread is in a block of `hold` on the folder."""
    return _mine.get(folder.resolve() / LOCK) == _thread()


def _thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()  # a fork has the number of the thread that made it


def _lock(file: IO[str], folder: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise NoLocksError(
            f"{folder} is on a file system without locks ({os.strerror(error.errno or 0)}), so"
            " processes cannot share it: choose another --out."
        ) from None
    return True
