"""Finished shards on their way to where a build goes, and back for checks that read them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builder.contract import ShardEntry
from builder.progress import Progress
from builder.recipe import Layout
from builder.store import Cache, Remote
from builder.store.destination import Destination
from builder.store.threads import Threads
from builder.write import Shard, remove_local, send_shard

_AT_ONCE = 4  # shards that are fetched at a time
_ANY_SIZE = 1 << 62  # bytes: the disk is the limit


def send_all(
    shards: Sequence[Shard], layout: Layout, destination: Destination, progress: Progress
) -> None:
    """Send shards that lie on this disk; they are removed from it when all have arrived."""
    entries = [shard.entry for shard in shards if shard.entry is not None]
    with progress("sending", sum(entry.nsamples for entry in entries)) as advance:
        for entry in entries:
            send_shard(entry, layout, destination, lambda _: advance(0))
            advance(entry.nsamples)
    for entry in entries:
        remove_local(layout.root / entry.url)


def fetched_back(
    entries: Sequence[ShardEntry],
    layout: Layout,
    destination: Destination,
    scratch: Path,
    progress: Progress,
) -> Layout:
    """The layout of a folder in `scratch` that holds shards which were sent, each byte proved."""
    root = scratch / "real"
    remote = Remote(destination.url, Cache(folder=scratch / "cache", max_bytes=_ANY_SIZE))

    def fetch(entry: ShardEntry) -> int:
        path = root / entry.url
        path.parent.mkdir(parents=True, exist_ok=True)
        remote.fetch(entry.url, size=entry.filesize, sha256=entry.sha256).replace(path)
        return entry.nsamples

    try:
        total = sum(entry.nsamples for entry in entries)
        with progress("fetching real images", total) as advance, Threads(_AT_ONCE) as pool:
            for count in pool.map(fetch, entries):
                advance(count)
    finally:
        remote.close()
    return replace(layout, root=root)
