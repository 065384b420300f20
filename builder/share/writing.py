"""A composed release → its folder on disk: whole or not at all, resumed after a kill.

A rerun keeps each file that is right already.
"""

import hashlib
import os
from pathlib import Path

from builder.contract import CheckError, UsageError, sha256_file, write_last
from builder.progress import Progress
from builder.share.check import SIGNATURE, SUMS, check_release
from builder.share.growing import Place, check_space, grown
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
    place = Place(folder=folder, command="xbuild share", option="--to")
    signature = None if key is None else sign(release.sums, key)
    if _is_there(release, place, progress):
        if signature is not None:
            write_last(folder / SIGNATURE, signature)
        return False
    with grown(place, {file.path for file in release.files}) as inner:
        missing = [file for file in release.files if not (inner / file.path).is_file()]
        check_space(place, sum(file.size for file in missing))
        with progress("writing", _mib(release), "MiB") as advance:
            for file in release.files:
                _write(file, inner / file.path)
                advance(-(-file.size // _MIB))
        if signature is not None:
            write_last(inner / SIGNATURE, signature)
    return True


def _is_there(release: Release, place: Place, progress: Progress) -> bool:
    folder = place.folder
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    sums = folder / SUMS
    if not sums.is_file() or sums.read_bytes() != release.sums:
        raise place.taken()
    with progress("checking", release.images) as advance:
        fault = next(check_release(folder, advance), None)
    if fault:
        raise CheckError(
            f"{folder} is this release, but damaged ({fault.rstrip('.')}): remove it and share "
            "again."
        )
    return True


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
