"""A composed release → its folder on disk: whole or not at all, resumed after a kill.

It grows in `.NAME.partial` next to its place, where a rerun keeps each file that is right, and is
renamed at the end.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.contract import CheckError, UsageError, sha256_file, write_last
from builder.contract.lock import NoLocksError, hold
from builder.progress import Progress
from builder.share.check import SIGNATURE, SUMS, check_release
from builder.share.release import Release, ReleaseFile
from builder.share.sign import sign

_BLOCK = 1 << 20  # bytes
_MIB = 1 << 20


def write_release(release: Release, folder: Path, *, key: Path | None, progress: Progress) -> bool:
    """Whether the release was written; False where the same one is there already, and whole.

    `key` signs it. UsageError where something else is in its place, or the disk is too small.
    """
    folder = folder.resolve()
    if folder == Path.cwd():
        raise UsageError(f"{folder} is the folder that you are in: name a new one by --to.")
    signature = None if key is None else sign(release.sums, key)
    if _is_there(release, folder, progress):
        if signature is not None:
            write_last(folder / SIGNATURE, signature)
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.parent / f".{folder.name}.partial"
    with _claimed(work):
        inner = work / "release"
        _clear(inner, {file.path for file in release.files})
        _check_space(release, inner)
        with progress("writing", _mib(release), "MiB") as advance:
            for file in release.files:
                _write(file, inner / file.path)
                advance(-(-file.size // _MIB))
        if signature is not None:
            write_last(inner / SIGNATURE, signature)
        try:
            inner.rename(folder)
        except OSError:
            raise _taken(folder) from None
        _sync(folder.parent)
        shutil.rmtree(work, ignore_errors=True)
    return True


def _is_there(release: Release, folder: Path, progress: Progress) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    sums = folder / SUMS
    if not sums.is_file() or sums.read_bytes() != release.sums:
        raise _taken(folder)
    with progress("checking", release.images) as advance:
        fault = next(check_release(folder, advance), None)
    if fault:
        raise CheckError(
            f"{folder} is this release, but damaged ({fault.rstrip('.')}): remove it and share "
            "again."
        )
    return True


def _taken(folder: Path) -> UsageError:
    return UsageError(
        f"{folder} holds something else than this release: remove it, or choose another --to."
    )


@contextmanager
def _claimed(work: Path) -> Iterator[None]:
    """Hold the folder of a growing release; UsageError where another process does."""
    try:
        with hold(work, wait=None) as mine:
            if not mine:
                raise UsageError(
                    f"Another xbuild share is writing {work}: wait for it, or choose another --to."
                )
            yield
    except NoLocksError:  # only the user's care keeps two of them apart
        yield


def _clear(inner: Path, wanted: set[str]) -> None:
    """Remove what an earlier run for other bytes has left."""
    for path in sorted(inner.rglob("*")):
        if not path.is_dir() and path.relative_to(inner).as_posix() not in wanted:
            path.unlink()


def _check_space(release: Release, inner: Path) -> None:
    inner.mkdir(parents=True, exist_ok=True)
    needed = sum(f.size for f in release.files if not (inner / f.path).is_file())
    if needed > (free := shutil.disk_usage(inner).free):
        raise UsageError(
            f"The release needs {needed / 1e9:.2f} GB and there are {free / 1e9:.2f} GB free next "
            "to --to: make room, or choose another place."
        )


def _write(file: ReleaseFile, path: Path) -> None:
    """Put a file there, unless it is there as it must be."""
    if path.is_file() and path.stat().st_size == file.size and sha256_file(path) == file.sha256:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.data is not None:
        write_last(path, file.data)
        return
    assert file.source is not None, "a release's file has bytes or a source"
    part = path.with_name(f".{path.name}.tmp")
    digest = hashlib.sha256()
    with file.source.open("rb") as source, part.open("wb") as target:
        while block := source.read(_BLOCK):
            digest.update(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != file.sha256:
        part.unlink()
        raise CheckError(f"{file.source} changed while it was copied: check the dataset.")
    part.replace(path)


def _mib(release: Release) -> int:
    return sum(-(-file.size // _MIB) for file in release.files)


def _sync(folder: Path) -> None:
    """Make a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
