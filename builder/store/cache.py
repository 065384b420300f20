"""A folder of files named by their sha256, within a bound; locks let many processes share it."""

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
    """Where fetched files are kept, named by their sha256, and how many bytes at most."""

    folder: Path
    max_bytes: int


def default_cache_folder() -> Path:
    """The folder that fetched shards go to unless the user names another one."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cxr-rebalance" / "shards"


def identity(path: Path) -> tuple[int, int, int]:
    """Inode, bytes, time of change: what differs when the file was changed."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def mark_used(path: Path) -> None:
    """Set the time of last use, for disks that do not keep it."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def lock(file: BinaryIO) -> bool:
    """Whether `file` is locked by us now; closing it unlocks it, and so does the process's end."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open file still has that name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While it lasts, no other thread or process counts the cache's space or adds to it."""
    with (folder / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def reserve(cache: Cache, file: BinaryIO, size: int) -> bool:
    """Whether `file` has `size` bytes now; the least recently used files go to make room."""
    with alone(cache.folder):
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
    """Last use, bytes and path of each file in the cache; the downloads of the dead are removed."""
    for path in folder.iterdir():
        ours = SHA256.fullmatch(path.stem) and path.suffix in ("", ".part")
        with suppress(FileNotFoundError):  # a download that ended this moment
            if ours and not (path.suffix and _remove_dead(path)):
                stat = path.stat()
                yield stat.st_atime_ns, stat.st_size, path


def _remove_dead(part: Path) -> bool:
    """Whether this download was nobody's; then it is gone."""
    with part.open("rb") as file:
        if dead := lock(file) and is_at(file, part):
            part.unlink()
    return dead
