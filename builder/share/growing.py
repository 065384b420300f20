"""A folder that appears whole or not at all: it grows in `.NAME.partial` next to its place.

A rerun after a kill finds there what the earlier run had finished. The rename at the end is all
that anybody sees.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.contract import CheckError, UsageError
from builder.contract.lock import NoLocksError, hold
from builder.contract.new_file import NewFile, refuse_link
from builder.contract.paths import open_file
from builder.progress import Progress
from builder.share.check import SUMS, check_release
from builder.store.files import BLOCK
from builder.write.sidecars import sync_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a release goes, and the words of the command that puts it there."""

    folder: Path
    command: str  # such as "xbuild share"
    option: str  # that names the folder, such as "--to"

    @property
    def work(self) -> Path:
        """The folder in which it grows."""
        return self.folder.parent / f".{self.folder.name}.partial"

    def taken(self) -> UsageError:
        """What to say where something else is in its place."""
        return UsageError(
            f"{self.folder} holds something else than this release: remove it, or choose another "
            f"{self.option}."
        )


@contextmanager
def grown(place: Place, wanted: set[str]) -> Iterator[Path]:
    """The folder to fill, which gets its name when the block ends without an error.

    What an earlier run has left there under a path of `wanted` is still there, all else is gone.
    UsageError where another process fills it, or where something else is in its place.
    """
    place.folder.parent.mkdir(parents=True, exist_ok=True)
    refuse_link(place.work)
    with _claimed(place):
        inner = place.work / "release"
        refuse_link(inner)
        inner.mkdir(exist_ok=True)
        for path in sorted(inner.rglob("*")):
            named = path.relative_to(inner).as_posix() in wanted
            if path.is_symlink() or not (named or path.is_dir()):
                path.unlink()
        yield inner
        try:
            inner.rename(place.folder)
        except OSError:
            raise place.taken() from None
        sync_folder(place.folder.parent)
        shutil.rmtree(place.work, ignore_errors=True)


def check_space(place: Place, needed: int) -> None:
    """UsageError where fewer than `needed` bytes are free next to the place."""
    if needed > (free := shutil.disk_usage(place.folder.parent).free):
        raise UsageError(
            f"The release needs {needed / 1e9:.2f} GB and there are {free / 1e9:.2f} GB free next "
            f"to {place.option}: make room, or choose another place."
        )


def is_there(place: Place, sums: bytes, images: int, progress: Progress) -> bool:
    """Whether the release with this SHA256SUMS is in its place, and sound.

    UsageError where something else is there; CheckError where it is damaged.
    """
    folder = place.folder
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    listed = folder / SUMS
    if not listed.is_file() or listed.read_bytes() != sums:
        raise place.taken()
    if fault := first_fault(folder, images, progress):
        raise CheckError(
            f"{folder} is this release, but damaged ({fault.rstrip('.')}): remove it, and run the "
            "same command again."
        )
    return True


def first_fault(folder: Path, images: int, progress: Progress) -> str | None:
    """The first fault of a release of so many synthetic images; None where it is sound."""
    with progress("checking", images) as advance:
        return next(check_release(folder, advance), None)


def copied(
    source: Path, size: int, sha256: str, target: Path, advance: Callable[[int], object]
) -> bool:
    """Whether `source` has this size and sha256, and is now at `target`, too.

    `advance` is called with the number of bytes done.
    """
    copy, digest = NewFile(target), hashlib.sha256()
    try:
        with open_file(source) as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            while block := file.read(BLOCK):
                digest.update(block)
                copy.file.write(block)
                advance(len(block))
        if digest.hexdigest() != sha256:
            return False
        copy.complete()
        return True
    finally:
        copy.discard()


@contextmanager
def _claimed(place: Place) -> Iterator[None]:
    try:
        with hold(place.work, wait=None) as mine:
            if not mine:
                raise UsageError(
                    f"Another {place.command} is writing {place.work}: wait for it, or choose "
                    f"another {place.option}."
                )
            yield
    except NoLocksError:  # only the user's care keeps two of them apart
        yield
