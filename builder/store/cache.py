"""A folder of files named by their sha256, of bounded size; locks let many processes share it.

A download is SHA256.part and locked while it is written: one without a lock was left by a process
that died. It has its full size from the start, so that its space counts as taken.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Where fetched files are kept, and how many bytes they may have together."""

    folder: Path
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """What differs when a file has been changed or replaced."""

    inode: int
    size: int  # bytes
    changed: int  # nanoseconds


def default_cache_folder() -> Path:
    """The folder that fetched shards go to unless the user names another one."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cxr-rebalance" / "shards"


def file_state(path: Path) -> FileState:
    """The file's state now; FileNotFoundError where there is none."""
    stat = path.stat()
    return FileState(inode=stat.st_ino, size=stat.st_size, changed=stat.st_mtime_ns)


def mark_used(path: Path) -> None:
    """Set the time of last use, for disks that do not keep it."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def try_lock(file: BinaryIO) -> bool:
    """Whether we have locked `file`; closing it unlocks it, and so does the end of the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether `path` still names the open file."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Wait until no other thread or process counts the cache's space or adds to it; keep them out.

    It lasts for moments, so this waits without a word to the user, unlike `contract.lock.hold`.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(folder / ".lock", flags, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def reserve(cache: Cache, file: BinaryIO, size: int) -> bool:
    """Give `file` its `size` bytes; False where other downloads hold the space.

    The least recently used files are removed to make room.
    """
    with exclusive(cache.folder):
        stored = sorted(_stored(cache.folder))
        room = cache.max_bytes - sum(taken for _, taken, _ in stored)
        for _, taken, path in stored:
            if room < size and path.suffix != ".part":
                path.unlink(missing_ok=True)
                room += taken
        if room >= size:
            file.truncate(size)
    return room >= size


def _stored(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Last use, bytes and path of each file in the cache; abandoned downloads are removed."""
    for path in folder.iterdir():
        ours = SHA256.fullmatch(path.stem) and path.suffix in ("", ".part")
        with suppress(FileNotFoundError):  # a download that has just ended
            if ours and not (path.suffix and _remove_abandoned(path)):
                stat = path.stat()
                yield stat.st_atime_ns, stat.st_size, path


def _remove_abandoned(part: Path) -> bool:
    """Whether no process was writing this download; if so, it is removed."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NFS locks nothing else
    with os.fdopen(os.open(part, flags), "r+b") as file:
        if abandoned := try_lock(file) and is_at(file, part):
            part.unlink()
    return abandoned
