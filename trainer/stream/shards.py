"""The shards of a dataset, each proved to be the one that was sealed.

A shard is hashed before its first use, and again if its file has changed since (another inode, size
or time). So a file that is swapped or cut during a run never trains a model. Its state is noted
before it is hashed, from the very file that is hashed.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from builder.contract import (
    CheckError,
    Manifest,
    ShardEntry,
    UsageError,
    check_bytes,
    open_shard,
    resolve,
)
from builder.store import OutOfReach, Remote
from trainer.progress import progress
from trainer.stream.order import WINDOW, Rows

Stamp = tuple[int, ...]
OPEN = 4 * WINDOW  # files that may stay open
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # never waits, as for a pipe in place of a shard
AHEAD = 2 * WINDOW  # shards that are prepared before their first image is needed


class Source(Protocol):
    """Where shards come from: a folder, or a URL with a cache."""

    at_hand: bool  # whether all of them can be read at once without a download

    def prove(self, shard: ShardEntry) -> tuple[Path, Stamp]:
        """A local file that is the shard as sealed, and its state when it was found to be.

        CheckError names the shard that is not.
        """

    def stamp(self, found: os.stat_result) -> Stamp:
        """What changes when somebody changes the file."""

    def check_present(self, shards: Sequence[ShardEntry]) -> None:
        """CheckError names the first shard that is not there; nothing is read."""

    def expect(self, shards: Sequence[ShardEntry]) -> None:
        """Prepare shards that will be needed soon; returns at once."""

    def close(self) -> None:
        """Stop what runs in the background."""


class Folder:
    """Shards below a local folder."""

    at_hand = True

    def __init__(self, root: Path, manifest: str = "") -> None:
        """Nothing is read yet; the file `manifest` is named where a shard is not there."""
        self.root = root
        self._manifest = manifest

    def prove(self, shard: ShardEntry) -> tuple[Path, Stamp]:
        """The shard's own file, hashed now."""
        self.check_present([shard])
        with open_shard(shard, self.root) as file:
            stamp = self.stamp(os.fstat(file.fileno()))
            check_bytes(shard, file)
        return resolve(self.root, shard.url), stamp

    def stamp(self, found: os.stat_result) -> Stamp:
        """Also the time of the last change of any kind: no program can set it back."""
        return (*_stamp(found), found.st_ctime_ns)

    def check_present(self, shards: Sequence[ShardEntry]) -> None:
        """The first shard that is missing is named, with the command that makes it."""
        for shard in shards:
            if self._manifest and not (self.root / shard.url).exists():
                raise CheckError(
                    f"{self._manifest}: its shards are not here: xbuild rebuild {self._manifest} "
                    f"({shard.url} is missing under {self.root}; --shards-root names another "
                    "folder)."
                )

    def expect(self, shards: Sequence[ShardEntry]) -> None:
        """Ask the kernel to read the files ahead, where it can be asked."""
        for shard in shards if hasattr(os, "posix_fadvise") else ():
            with suppress(OSError):
                file = os.open(self.root / shard.url, _READ)
                try:
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
                finally:
                    os.close(file)

    def close(self) -> None:
        """Nothing runs."""


class Bucket:
    """Shards behind a URL, fetched into a cache of bounded size."""

    at_hand = False

    def __init__(self, remote: Remote, shards: Sequence[ShardEntry], max_bytes: int) -> None:
        """Refuse a cache that cannot hold the shards shuffled together, and a missing shard."""
        total = sum(shard.filesize for shard in shards)
        needed = min(total, 4 * WINDOW * max(shard.filesize for shard in shards))
        if max_bytes < needed:
            raise UsageError(
                f"A cache of {max_bytes / 1e9:.2f} GB cannot hold the shards that are read"
                f" together: choose --cache-size {-(-needed // 10**9)}GB or more."
            )
        remote.check_present({shard.url: shard.filesize for shard in shards})
        self.remote = remote

    def prove(self, shard: ShardEntry) -> tuple[Path, Stamp]:
        """The shard in the cache, fetched if it is not there."""
        path = self.remote.fetch(shard.url, size=shard.filesize, sha256=shard.sha256)
        return path, self.stamp(path.stat())

    def stamp(self, found: os.stat_result) -> Stamp:
        """Without the time of the last change of any kind: to be used in the cache is one."""
        return _stamp(found)

    def check_present(self, shards: Sequence[ShardEntry]) -> None:
        """They were looked for at the start."""

    def expect(self, shards: Sequence[ShardEntry]) -> None:
        """Fetch in the background."""
        self.remote.prefetch(shards)

    def close(self) -> None:
        """Stop fetching."""
        self.remote.close()


class Shards:
    """The shards of a manifest by number, each proved before it is read."""

    def __init__(self, manifest: Manifest, source: Source) -> None:
        """Nothing is read yet."""
        self.entries = manifest.shardlist
        self._source = source
        self._keeping = threading.Lock()
        self._locks = [threading.Lock() for _ in self.entries]
        self._proved: dict[int, tuple[Path, Stamp]] = {}
        self._opened: dict[int, _Opened] = {}
        self._bad: dict[int, str] = {}

    def prove(self, workers: int, *, skip_bad: bool, numbers: Sequence[int] | None = None) -> None:
        """Hash the shards `numbers` (None: all) now; CheckError names the first that differs."""
        todo = range(len(self.entries)) if numbers is None else numbers

        def one(number: int) -> int:
            try:
                self._prove(number)
            except CheckError:
                if not skip_bad:
                    raise
            return self.entries[number].nsamples

        total = sum(self.entries[number].nsamples for number in todo)
        with ThreadPoolExecutor(workers) as pool, progress("checking", total) as advance:
            for count in pool.map(one, todo):
                advance(count)

    def open(self, number: int) -> "_Opened":
        """A shard that is as sealed, to be used in a `with`; CheckError where it has changed.

        Where all shards are at hand, the latest ones stay open until `close`.
        """
        opened = self._opened.get(number)
        if opened is None or self._source.stamp(os.fstat(opened.file)) != opened.stamp:
            opened = self._open(number)
            if self._source.at_hand:
                self._keep(number, opened)
        return opened

    def _keep(self, number: int, opened: "_Opened") -> None:
        with self._keeping:
            self._opened[number] = opened
            while len(self._opened) > OPEN:
                del self._opened[next(iter(self._opened))]

    def _open(self, number: int) -> "_Opened":
        for again in (False, True):
            path, stamp = self._prove(number, again=again)
            with suppress(FileNotFoundError):  # it was evicted from the cache
                opened = _Opened(os.open(path, _READ), stamp)
                if self._source.stamp(os.fstat(opened.file)) == stamp:
                    return opened
        raise CheckError(f"The shard {self.entries[number].url} changes while it is being read.")

    def _prove(self, number: int, *, again: bool = False) -> tuple[Path, Stamp]:
        with self._locks[number]:
            if number in self._bad:
                raise CheckError(self._bad[number])
            if again or number not in self._proved:
                try:
                    self._proved[number] = self._source.prove(self.entries[number])
                except OutOfReach:  # it may pass
                    raise
                except CheckError as error:
                    self._bad[number] = str(error)
                    raise
            return self._proved[number]

    def ahead(self, numbers: Rows) -> "Ahead":
        """Prepares shards in the order in which `numbers` (the shard of each image) need them."""
        return Ahead(self._source, self.entries, numbers)

    def close(self) -> None:
        """Stop what runs in the background, and close the files."""
        self._source.close()
        self._opened.clear()


class _Opened:
    """An open shard. Its file is closed when nobody holds this any more, in any thread."""

    def __init__(self, file: int, stamp: Stamp) -> None:
        self.file, self.stamp = file, stamp

    def __enter__(self) -> int:
        return self.file

    def __exit__(self, *_: object) -> None:
        pass

    def __del__(self) -> None:
        os.close(self.file)


class Ahead:
    """Shards that are prepared some time before their first image is needed."""

    def __init__(self, source: Source, entries: Sequence[ShardEntry], numbers: Rows) -> None:
        """Nothing is prepared yet."""
        found, first = np.unique(numbers, return_index=True)
        order = np.argsort(first)
        self._source, self._first = source, first[order]
        self._coming = [entries[number] for number in found[order]]
        self._asked = 0

    def reach(self, position: int) -> None:
        """Prepare the AHEAD shards after the one of the image at `position`, which is read next."""
        if self._asked == len(self._coming):
            return
        until = int(np.searchsorted(self._first, position, "right")) + AHEAD
        self._source.expect(self._coming[self._asked : until])
        self._asked = max(self._asked, min(until, len(self._coming)))


def _stamp(found: os.stat_result) -> Stamp:
    """A file that loses its name has one link less."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_nlink)
