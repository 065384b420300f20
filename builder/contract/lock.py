"""A folder that belongs to one process at a time, among all machines that see it.

The lock ends with the process, however it dies. `filelock` was tried: where a file system has no
locks it falls back to a marker file, which a killed process leaves behind.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from builder.contract.errors import UsageError

LOCK = ".lock"  # a file: over NFS it must be open for writing, and for reading to be shared
LOOK = 1.0  # seconds between two attempts

_WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_mine: set[tuple[Path, int, int]] = set()  # locks, each with the process and thread that has it


class NoLocksError(UsageError):
    """The file system has no locks."""


@contextmanager
def hold(
    folder: Path, *, wait: Callable[[float], object] | None, shared: bool = False
) -> Iterator[bool]:
    """Whether this process has the folder's lock, until the block ends or the process dies.

    While another process has it, `wait(seconds)` is called again and again, and may raise; with
    None the answer is False at once. A `shared` lock keeps out those alone who want it for
    themselves. A thread that has the lock gets it again. NoLocksError where the file system has no
    locks.
    """
    if holds(folder):
        yield True
        return
    while not (file := _locked(folder, shared)) and wait is not None:
        wait(LOOK)
    if not file:
        yield False
        return
    mine = _here(folder)
    with file:
        _mine.add(mine)
        try:
            yield True
        finally:
            _mine.remove(mine)


def holds(folder: Path) -> bool:
    """Whether this thread is in a block of `hold` on the folder."""
    return _here(folder) in _mine


def _here(folder: Path) -> tuple[Path, int, int]:
    # A fork has the thread number of its parent.
    return folder.resolve() / LOCK, os.getpid(), threading.get_ident()


def _locked(folder: Path, shared: bool) -> IO[bytes] | None:
    """The folder's lock file, locked; None where another has it."""
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a failed run has just removed its folder
            file = _open(path)
            try:
                kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
                fcntl.flock(file, kind | fcntl.LOCK_NB)
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


def _open(path: Path) -> IO[bytes]:
    """The lock file, made where there is none; never what a link in its place leads to."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        try:
            return os.fdopen(os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666), "r+b", 0)
        except PermissionError as denied:
            try:  # it belongs to another user; it can be locked, except over NFS
                return os.fdopen(os.open(path, flags | os.O_RDONLY), "rb")
            except FileNotFoundError:  # the folder may not be written
                raise denied from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UsageError(f"{path} is a link, which is not followed: remove it.") from None
