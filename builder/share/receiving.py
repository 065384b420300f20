"""Where a release is received from: a folder, a hub, a bucket, a web server → its files, checked.

The paths are a stranger's, and so is all that comes: nothing is read beyond what was announced.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from builder.contract import CheckError, UsageError, printable, resolve
from builder.contract.new_file import link, temporary_name
from builder.contract.record import read_bytes
from builder.share.growing import copied
from builder.store import Cache, Remote, is_url
from builder.store.hub import DATASET
from builder.store.url import without_secrets

Advance = Callable[[int], object]  # (bytes done since the last call; below 0 where they are redone)


class Giver(Protocol):
    """What gives the files of a release; any number of threads may ask."""

    shown: str  # as messages may show it

    def read(self, path: str, max_bytes: int) -> bytes:
        """A small file, which nobody has checked; CheckError where it has more than `max_bytes`."""

    def check_present(self, sizes: Mapping[str, int]) -> None:
        """CheckError names the first file that is missing or has another size."""

    def take(self, path: str, size: int, sha256: str, target: Path, advance: Advance) -> None:
        """Put a file with this size and sha256 at `target`; CheckError where it is another one."""

    def close(self) -> None:
        """Stop; what other threads ask for ends with a CheckError."""


def giver_of(source: str, cache: Cache, spare: Cache) -> Giver:
    """What gives the files at `source`, a folder or URL.

    Files behind a URL go through `cache`; what the cache `spare` has is not fetched again.
    UsageError where the source cannot be read.
    """
    if is_url(source):
        return _Far(source, cache, spare)
    return _Folder(Path(source))


class _Folder:
    """A release in a folder, as on a disk that was sent."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(
                f"{folder} is no folder: give the folder of a release, or its URL, such as "
                "hf://datasets/OWNER/NAME."
            )
        self._folder, self._closed = folder, threading.Event()
        self.shown = str(folder)

    def read(self, path: str, max_bytes: int) -> bytes:
        return read_bytes(self._file(path), max_bytes)

    def check_present(self, sizes: Mapping[str, int]) -> None:
        for path, size in sizes.items():
            if (found := self._file(path).stat().st_size) != size:
                raise CheckError(
                    f"{path} in {self._folder} has {found:,} bytes, but the manifest says {size:,}."
                )

    def take(self, path: str, size: int, sha256: str, target: Path, advance: Advance) -> None:
        if not copied(self._file(path), size, sha256, target, self._noted(advance)):
            raise CheckError(
                f"{path} in {self._folder} is not the sealed one: its sha256 differs; ask its "
                "publisher for it again."
            )

    def close(self) -> None:
        self._closed.set()

    def _file(self, path: str) -> Path:
        """A plain file of the folder, not what a link in it leads to."""
        file = resolve(self._folder, path)
        if file.is_symlink() or not file.is_file():
            what = "a link" if file.is_symlink() else "missing"
            raise CheckError(f"{path} is {what} in {self._folder}: a release holds files alone.")
        return file

    def _noted(self, advance: Advance) -> Advance:
        def note(count: int) -> None:
            if self._closed.is_set():
                raise CheckError(f"Copying from {self._folder} was ended.")
            advance(count)

        return note


class _Far:
    """A release behind a URL."""

    def __init__(self, url: str, cache: Cache, spare: Cache) -> None:
        if url.startswith("hf:") and not DATASET.fullmatch(url):
            raise UsageError(
                f"{printable(repr(url))} names no dataset on the Hub: give "
                "hf://datasets/OWNER/NAME."
            )
        self._remote, self._cache, self._spare = Remote(url, cache), cache, spare
        self.shown = without_secrets(url)

    def read(self, path: str, max_bytes: int) -> bytes:
        return self._remote.read(path, max_bytes=max_bytes)

    def check_present(self, sizes: Mapping[str, int]) -> None:
        self._remote.check_present(sizes)

    def take(self, path: str, size: int, sha256: str, target: Path, advance: Advance) -> None:
        spared = self._spare.folder / sha256
        if self._cache != self._spare and spared.is_file():
            with suppress(FileNotFoundError):  # somebody else's fetch has just evicted it
                if copied(spared, size, sha256, target, advance):
                    return
        temporary = target.with_name(temporary_name(target.name))
        while not temporary.exists():
            local = self._remote.fetch(path, size=size, sha256=sha256, advance=advance)
            with suppress(FileNotFoundError):  # it was evicted since
                link(local, temporary)
        temporary.chmod(target.parent.stat().st_mode & 0o666)  # the cache is its owner's alone
        temporary.replace(target)
        if self._cache != self._spare:
            local.unlink(missing_ok=True)

    def close(self) -> None:
        self._remote.close()
