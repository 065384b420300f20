"""A folder as one process's own, among all machines that see it."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from builder.contract.errors import UsageError

LOCK = ".lock"  # a file, for over NFS only what is open for writing can be locked
LOOK = 1.0  # seconds between looks at a lock that is waited for

_WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
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
    while not (file := _locked(folder)) and wait is not None:
        wait(LOOK)
    if not file:
        yield False
        return
    path = folder.resolve() / LOCK
    with file:
        _mine[path] = _thread()
        try:
            yield True
        finally:
            del _mine[path]


def holds(folder: Path) -> bool:
    """Whether this thread is in a block of `hold` on the folder."""
    return _mine.get(folder.resolve() / LOCK) == _thread()


def _thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()  # a fork has the number of the thread that made it


def _locked(folder: Path) -> IO[str] | None:
    """The folder's lock file, locked; None where another has it."""
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a failed run has just taken its folder away
            file = _open(path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
            except BlockingIOError:
                file.close()
                return None
            except OSError as error:
                file.close()
                if error.errno not in _WITHOUT:
                    raise
                raise NoLocksError(
                    f"{folder} is on a file system without locks ({error.strerror}), so processes"
                    " cannot share it: choose another --out."
                ) from None
            file.close()


def _open(path: Path) -> IO[str]:
    try:
        return path.open("a")
    except PermissionError:  # another user's: may still be locked, but over NFS
        return path.open()
