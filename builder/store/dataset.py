"""A dataset behind a URL as a folder: manifest and index at once, shards when asked for → Near."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from builder.contract import (
    CheckError,
    Manifest,
    ShardEntry,
    UsageError,
    printable,
)
from builder.contract.index import max_index_bytes
from builder.contract.manifest import parse_manifest
from builder.contract.new_file import link
from builder.contract.record import MAX_JSON
from builder.store.cache import Cache, default_cache_folder, try_lock
from builder.store.remote import Remote
from builder.store.threads import Threads
from builder.store.url import without_secrets

CACHE_BYTES = 100 * 10**9  # as for xtrain
_AT_ONCE = 4  # shards that are fetched at a time
_IDX_LINE = 1 << 10  # bytes of a sample in an .idx, at most
_ANY_SIZE = 1 << 62  # bytes: the disk is the limit
_PREFIX, _LOCK = "near-", ".lock"


def split_url(url: str) -> tuple[str, str]:
    """(root, path below it) of a manifest's URL, by the same rule as for files."""
    head, _, name = url.rpartition("/")
    if not name.endswith(".json"):
        shown = printable(without_secrets(url))
        raise UsageError(f"{shown} is no manifest: its name should end like manifests/gan10.json.")
    above, _, folder = head.rpartition("/")
    return (above, f"manifests/{name}") if folder == "manifests" else (head, name)


def fetch_manifest(remote: Remote, below: str, folder: Path) -> Path:
    """The manifest at the path `below` a root, as a file in `folder`, its index beside it.

    CheckError where one of them is not there or is damaged.
    """
    path = folder / below
    path.parent.mkdir(parents=True, exist_ok=True)
    manifest = _read_manifest(remote, below, path)
    index = manifest.index
    parquet = folder / PurePosixPath(index.url)
    parquet.parent.mkdir(parents=True, exist_ok=True)
    most = max_index_bytes(index.rows, manifest.pathologies)
    parquet.write_bytes(remote.read(index.url, max_bytes=most, sha256=index.sha256))
    return path


def _read_manifest(remote: Remote, below: str, path: Path) -> Manifest:
    """The manifest, written to `path`; nothing says its sha256, so a damaged one is read again."""
    what = f"{remote.shown}/{below}"
    data = remote.read(below, max_bytes=MAX_JSON)
    try:
        manifest = parse_manifest(data, what)
    except CheckError:
        data = remote.read(below, max_bytes=MAX_JSON)
        manifest = parse_manifest(data, what)
    path.write_bytes(data)
    return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A dataset on this disk, and what brings those of its shards that are elsewhere."""

    path: Path  # of its manifest
    remote: Remote | None = None  # None: all of it is here
    folder: Path = Path()  # that shards are brought into

    def bring(self, shard: ShardEntry) -> None:
        """The shard is on this disk afterwards, every byte proved, with its .idx if it has one.

        CheckError where it is missing or is not the sealed one.
        """
        path = self.folder / shard.url
        if self.remote is None or path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self.remote.check_size(shard.url, shard.filesize)
        local = self.remote.fetch(shard.url, size=shard.filesize, sha256=shard.sha256)
        try:
            link(local, path)
        except FileNotFoundError:  # somebody else's fetch has just evicted it
            self.bring(shard)
            return
        self._bring_idx(shard)

    def expect(self, shards: Sequence[ShardEntry]) -> None:
        """Begin to fetch what will be asked for next."""
        if self.remote is not None:
            self.remote.prefetch(shards)

    def bring_all(
        self, shards: Sequence[ShardEntry], advance: Callable[[int], object] = lambda _: None
    ) -> None:
        """Several of them at a time; `advance` is called with the samples that are here.

        CheckError names one that is not there before the first is fetched.
        """
        if self.remote is not None:
            self.remote.check_present({shard.url: shard.filesize for shard in shards})
            with Threads(_AT_ONCE) as pool:
                for shard, _ in zip(shards, pool.map(self.bring, shards), strict=True):
                    advance(shard.nsamples)

    def drop(self, shard: ShardEntry) -> None:
        """A shard that was brought is no longer needed."""
        if self.remote is not None:
            for ending in (".tar", ".idx"):
                (self.folder / shard.url).with_suffix(ending).unlink(missing_ok=True)
            self.remote.forget(shard.sha256)

    def _bring_idx(self, shard: ShardEntry) -> None:
        assert self.remote is not None, "it is asked for what is elsewhere alone"
        url = str(PurePosixPath(shard.url).with_suffix(".idx"))
        most = _IDX_LINE * (shard.nsamples + 1)
        (self.folder / url).write_bytes(self.remote.read(url, max_bytes=most))


@contextmanager
def near(place: Path | str, *, cached: bool = True) -> Iterator[Near]:
    """The dataset whose manifest is a file, or lies behind a URL: then shards are brought.

    What was brought is gone after the block. Shards stay in the cache where it is used; what reads
    them to find out whether they are right does not use it.
    """
    if isinstance(place, Path):
        yield Near(path=place)
        return
    root, below = split_url(place)
    shared = default_cache_folder()
    shared.parent.mkdir(parents=True, exist_ok=True)
    with _own_folder(shared.parent) as folder:
        own = Cache(folder=folder / "cache", max_bytes=_ANY_SIZE)
        remote = Remote(root, Cache(folder=shared, max_bytes=CACHE_BYTES) if cached else own)
        try:
            path = fetch_manifest(remote, below, folder)
            yield Near(path=path, remote=remote, folder=folder)
        finally:
            remote.close()


@contextmanager
def _own_folder(above: Path) -> Iterator[Path]:
    """A new folder, gone after the block; those of processes that were killed go now.

    Theirs would hold images, and the space of shards that the cache has long forgotten.
    """
    for lock in above.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(FileNotFoundError), lock.open("r+b") as file:  # its process has just ended
            if try_lock(file):
                shutil.rmtree(lock.parent, ignore_errors=True)
    with TemporaryDirectory(prefix=_PREFIX, dir=above) as name:
        new = Path(name, f"{_LOCK}.new")
        with new.open("wb") as file:  # locked before anybody looks for it
            try_lock(file)
            new.rename(Path(name, _LOCK))
            yield Path(name)


def check_present(found: Near, manifest: Manifest) -> None:
    """CheckError names the first shard that is not there, where the dataset is elsewhere."""
    if found.remote is not None:
        found.remote.check_present({shard.url: shard.filesize for shard in manifest.shardlist})
