import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.contract import CheckError, ShardEntry, UsageError
from builder.store import Cache, OutOfReach
from builder.store.cache import mark_used
from trainer.stream.order import WINDOW
from trainer.stream.shards import AHEAD, Bucket, Folder, Shards


class Notes(Folder):
    """A folder that notes what it was asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.proved: list[str] = []
        self.expected: list[str] = []

    def path(self, shard: ShardEntry) -> Path:
        self.proved.append(shard.url)
        return super().path(shard)

    def expect(self, shards: Sequence[ShardEntry]) -> None:
        self.expected += [shard.url for shard in shards]
        super().expect(shards)


def test_a_shard_is_hashed_once_while_its_file_stays_the_same(sealed: Any) -> None:
    source = Notes(sealed.root)
    shards = Shards(sealed.manifest, source)
    for _ in range(5):
        with shards.open(2) as file:
            assert os.fstat(file).st_size == sealed.manifest.shardlist[2].filesize
    assert source.proved == [sealed.manifest.shardlist[2].url]
    os.utime(sealed.root / source.proved[0])
    with shards.open(2):
        pass
    assert len(source.proved) == 2


def test_the_shards_that_are_asked_for_are_proved_and_no_others(sealed: Any) -> None:
    source = Notes(sealed.root)
    Shards(sealed.manifest, source).prove(1, skip_bad=False, numbers=[3, 1])
    assert source.proved == [sealed.manifest.shardlist[number].url for number in (3, 1)]


def test_what_was_bad_once_stays_bad(sealed: Any) -> None:
    url = sealed.manifest.shardlist[0].url
    data = (sealed.root / url).read_bytes()
    (sealed.root / url).write_bytes(data[:-512])
    shards = Shards(sealed.manifest, Folder(sealed.root))
    shards.prove(2, skip_bad=True)
    (sealed.root / url).write_bytes(data)
    with pytest.raises(CheckError, match=url), shards.open(0):
        pass
    with shards.open(1):
        pass


def test_no_file_stays_open(sealed: Any) -> None:
    shards = Shards(sealed.manifest, Folder(sealed.root))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count of a virtual folder
    with shards.open(0), shards.open(1):
        pass
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_shards_are_asked_for_ahead_each_once_in_the_order_of_use(sealed: Any) -> None:
    many = [
        ShardEntry(url=f"s{i}", nsamples=1, filesize=1, sha256="0" * 64, split="train",
                   origin="real")
        for i in range(60)
    ]  # fmt: skip
    source = Notes(sealed.root)
    shards = Shards(sealed.manifest, source)
    shards.entries = tuple(many)
    order = np.random.default_rng(0).permutation(60)
    ahead = shards.ahead(np.repeat(order, 10))
    for position in range(0, 600, 32):
        ahead.reach(position)
        own = position // 10 + 1
        assert len(source.expected) == min(60, own + AHEAD)
    assert source.expected == [f"s{i}" for i in order]


def test_a_cache_too_small_for_what_is_read_together_is_refused(
    sealed: Any, tmp_path: Path
) -> None:
    entries = sealed.manifest.shardlist
    needed = sum(shard.filesize for shard in entries)
    assert len(entries) < 4 * WINDOW
    with pytest.raises(UsageError, match="choose --cache-size 1GB or more"):
        Bucket(None, entries, Cache(folder=tmp_path, max_bytes=needed - 1).max_bytes)  # type: ignore[arg-type]


def test_processes_that_share_a_cache_do_not_make_each_other_hash(sealed: Any) -> None:
    """Marking a cached file as used changes its times of access and status, not what it is."""
    source = Notes(sealed.root)
    shards = Shards(sealed.manifest, source)
    path = sealed.root / sealed.manifest.shardlist[0].url
    for _ in range(3):
        with shards.open(0):
            pass
        mark_used(path)
    assert len(source.proved) == 1


def test_a_network_that_fails_says_nothing_about_the_shard(sealed: Any) -> None:
    class Flaky(Notes):
        def path(self, shard: ShardEntry) -> Path:
            if not self.proved:
                self.proved.append("")
                raise OutOfReach("9 attempts failed")
            return super().path(shard)

    shards = Shards(sealed.manifest, Flaky(sealed.root))
    with pytest.raises(OutOfReach), shards.open(0):
        pass
    with shards.open(0):
        pass
