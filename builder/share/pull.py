"""A release from a folder, a hub, a bucket or a web server, onto this disk: whole or not at all.

SHA256SUMS comes first and says what the rest must be. All of it is checked as `xbuild verify` does,
then the folder appears. Its shards also lie where the manifest says, for xtrain and xbuild rebuild.
"""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from builder.contract import (
    CheckError,
    Manifest,
    ShardEntry,
    UsageError,
    resolve,
    sha256_file,
    write_last,
)
from builder.contract.new_file import link
from builder.progress import Advance, Progress
from builder.share.announced import MAX_SUMS, Announced, File, Trust, announced, read_small, wanted
from builder.share.check import SIGNATURE, SUMS
from builder.share.growing import Place, check_space, first_fault, grown, is_there
from builder.share.receiving import Giver, giver_of
from builder.share.shards import synthetic_shards
from builder.store import Cache, OutOfReach, default_cache_folder, is_url
from builder.store.sending import mebibytes
from builder.store.threads import Threads

CACHE_BYTES = 100 * 10**9  # as for xtrain
THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A release that is on this disk, every byte of it checked."""

    folder: Path
    manifest: Manifest
    signer: str  # "" where no allowed signers were given
    here: bool  # whether it was here before

    @property
    def path(self) -> Path:
        """The path of its manifest."""
        return self.folder / "manifests" / f"{self.manifest.name}.json"


def pull(source: str, out: Path | None, trust: Trust, *, progress: Progress) -> Pulled:
    """The release at `source`, in the folder `out` or else in one of its dataset's name.

    UsageError where it cannot be put there; CheckError where a file is missing or is another one,
    or where it is not the release that `trust` names. Run it again after an interruption.
    """
    shared = Cache(folder=default_cache_folder(), max_bytes=CACHE_BYTES)
    with closing(giver_of(source, shared, shared)) as giver:
        said = announced(giver, trust)
    shown = out or Path(said.manifest.name)
    place = Place(folder=shown.resolve(), command="xbuild pull", option="--out")
    _check_place(place, source)
    here = _is_here(said, place, progress)
    if not here:
        try:
            with closing(giver_of(source, _cache_near(place, shared), shared)) as giver:
                _fill(place, said, giver, progress)
        except CheckError as error:
            if not isinstance(error, OutOfReach) and _has_changed(source, said, shared):
                raise UsageError(
                    f"{giver.shown} was changed during the download: run the same command again."
                ) from None
            raise
    return Pulled(folder=shown, manifest=said.manifest, signer=said.signer, here=here)


def _check_place(place: Place, source: str) -> None:
    if place.folder == Path.cwd():
        raise UsageError(f"{place.folder} is the folder that you are in: name a new one by --out.")
    if not is_url(source) and Path(source).resolve() == place.folder:
        raise UsageError(f"{source} is the release itself: name another folder by --out.")


def _cache_near(place: Place, shared: Cache) -> Cache:
    """The cache from which files can be linked to the place.

    Another disk gets one of its own, until the end: the release would be on two disks otherwise.
    """
    disks = {_existing(folder).stat().st_dev for folder in (shared.folder, place.folder.parent)}
    return shared if len(disks) == 1 else Cache(folder=place.work / "cache", max_bytes=1 << 62)


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _has_changed(source: str, said: Announced, cache: Cache) -> bool:
    try:
        with closing(giver_of(source, cache, cache)) as giver:
            return giver.read(SUMS, MAX_SUMS) != said.sums
    except CheckError:
        return False


def _is_here(said: Announced, place: Place, progress: Progress) -> bool:
    """Whether the same release is in its place, and sound; its shards are where xtrain looks."""
    shards = synthetic_shards(said.manifest)
    if not is_there(place, said.sums, _images(shards), progress):
        return False
    for path, shard in shards.items():
        _place_shard(place.folder, path, shard.url)
    return True


def _fill(place: Place, said: Announced, giver: Giver, progress: Progress) -> None:
    """Fetch what is not there yet, check it, and show it."""
    files = wanted(said)
    shards = {file.path: file.size for file in files if file.shard}
    giver.check_present(shards)
    with grown(place, {file.path for file in files}) as inner:
        missing = [path for path in shards if not (inner / path).is_file()]
        check_space(place, sum(shards[path] for path in missing))
        _fetch(files, inner, giver, progress)
        write_last(inner / SUMS, said.sums)
        if said.signature is not None:
            write_last(inner / SIGNATURE, said.signature)
        synthetic = synthetic_shards(said.manifest)
        if fault := first_fault(inner, _images(synthetic), progress):
            shutil.rmtree(inner)  # it was announced so, and a rerun would find the same
            raise CheckError(f"{giver.shown}: {fault}")
        for path, shard in synthetic.items():
            _place_shard(inner, path, shard.url)


def _fetch(files: Sequence[File], inner: Path, giver: Giver, progress: Progress) -> None:
    """Put every file there, several at a time; the first failure ends the others."""
    total = sum(mebibytes(file.size) for file in files if file.shard)
    with progress("fetching", total, "MiB") as advance, Threads(THREADS) as pool:
        meter = _Meter(advance)
        tasks = [pool.submit(_fetch_one, file, inner, giver, meter) for file in files]
        try:
            for task in as_completed(tasks):
                task.result()
        except BaseException:
            giver.close()
            raise


def _fetch_one(file: File, inner: Path, giver: Giver, meter: "_Meter") -> None:
    """Put a file there, unless it is there as it must be."""
    target = inner / file.path
    if target.is_file() and sha256_file(target) == file.sha256:
        meter.count(file.size if file.shard else 0)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.shard:
        giver.take(file.path, file.size, file.sha256, target, meter.count)
    else:
        write_last(target, read_small(giver, file.path, file.sha256, file.size))


class _Meter:
    """Bytes from many threads as whole MiB on a progress bar."""

    def __init__(self, advance: Advance) -> None:
        self._advance, self._lock = advance, Lock()
        self._bytes = self._shown = 0

    def count(self, size: int) -> None:
        """Add `size` bytes."""
        with self._lock:
            self._bytes += size
            step = self._bytes // (1 << 20) - self._shown
            self._shown += step
            self._advance(step)


def _images(shards: Mapping[str, ShardEntry]) -> int:
    return sum(shard.nsamples for shard in shards.values())


def _place_shard(folder: Path, path: str, url: str) -> None:
    """Give a shard of a release, and its .idx, the name that the manifest gives it, too."""
    for ending in (".tar", ".idx"):
        target = resolve(folder, url).with_suffix(ending)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            link((folder / path).with_suffix(ending), target)
