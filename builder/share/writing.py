"""A composed release → its folder on disk: whole or not at all, resumed after a kill.

A rerun keeps each file that is right already.
"""

from pathlib import Path

from builder.contract import CheckError, UsageError, sha256_file, write_last
from builder.progress import Progress
from builder.share.check import SIGNATURE
from builder.share.growing import Place, check_space, copied, grown, is_there
from builder.share.release import Release
from builder.share.sign import sign
from builder.store.sending import Outgoing, mebibytes


def write_release(release: Release, folder: Path, *, key: Path | None, progress: Progress) -> bool:
    """Whether the release was written; False where the same one is there already, and whole.

    `key` signs it. UsageError where something else is in its place, or the disk is too small.
    """
    folder = folder.resolve()
    if folder == Path.cwd():
        raise UsageError(f"{folder} is the folder that you are in: name a new one by --to.")
    place = Place(folder=folder, command="xbuild share", option="--to")
    signature = None if key is None else sign(release.sums, key)
    if is_there(place, release.sums, release.images, progress):
        if signature is not None:
            write_last(folder / SIGNATURE, signature)
        return False
    with grown(place, {file.path for file in release.files}) as inner:
        missing = [file for file in release.files if not (inner / file.path).is_file()]
        check_space(place, sum(file.size for file in missing))
        total = sum(mebibytes(file.size) for file in release.files)
        with progress("writing", total, "MiB") as advance:
            for file in release.files:
                _write(file, inner / file.path)
                advance(mebibytes(file.size))
        if signature is not None:
            write_last(inner / SIGNATURE, signature)
    return True


def _write(file: Outgoing, path: Path) -> None:
    """Put a file there, unless it is there as it must be."""
    if path.is_file() and path.stat().st_size == file.size and sha256_file(path) == file.sha256:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.data is not None:
        write_last(path, file.data)
        return
    assert file.source is not None, "a release's file has bytes or a source"
    if not copied(file.source, file.size, file.sha256, path, lambda _: None):
        raise CheckError(f"{file.source} changed while it was copied: check the dataset.")
