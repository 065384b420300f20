import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.contract import CheckError, ShardEntry, UsageError
from builder.store import Cache, OutOfReach
from builder.store.cache import mark_used
from trainer.stream import shards as module
from trainer.stream.order import WINDOW
from trainer.stream.shards import AHEAD, Bucket, Folder, Shards, Stamp


class Notes(Folder):
    """A folder that notes what it was asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.proved: list[str] = []
        self.expected: list[str] = []

    def prove(self, shard: ShardEntry) -> tuple[Path, Stamp]:
        self.proved.append(shard.url)
        return super().prove(shard)

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


def test_files_stay_open_up_to_a_bound_and_until_the_end(
    sealed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count of a virtual folder

    monkeypatch.setattr(module, "OPEN", 2)
    shards, before = Shards(sealed.manifest, Folder(sealed.root)), opened()
    with shards.open(0) as file, shards.open(1):
        first = os.pread(file, 99, 0)
        for number in (2, 3, 2):
            with shards.open(number):
                pass
        assert os.pread(file, 99, 0) == first  # who reads a file keeps it open
        assert opened() == before + 4
    assert opened() == before + 2
    shards.close()
    assert opened() == before


def test_files_of_a_cache_do_not_stay_open(sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may evict them, and would get no room from a file that somebody has open."""
    monkeypatch.setattr(Folder, "at_hand", False)
    shards = Shards(sealed.manifest, Folder(sealed.root))
    with shards.open(0) as file:
        pass
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(file)


@pytest.mark.parametrize("when", ["before", "later"])
def test_a_pipe_in_place_of_a_shard_is_refused_and_nobody_waits(sealed: Any, when: str) -> None:
    shards = Shards(sealed.manifest, Folder(sealed.root))
    path = sealed.root / sealed.manifest.shardlist[1].url
    if when == "later":
        with shards.open(1):
            pass
    path.unlink()
    os.mkfifo(path)
    Folder(sealed.root).expect([sealed.manifest.shardlist[1]])
    with pytest.raises(CheckError, match="pipe"), shards.open(1):
        pass


def test_a_shard_that_changes_while_it_is_hashed_is_hashed_again(
    sealed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state is noted before it is hashed."""
    path = sealed.root / sealed.manifest.shardlist[0].url
    check = module.check_bytes

    def changed_after(shard: ShardEntry, file: Any) -> None:
        check(shard, file)
        monkeypatch.setattr(module, "check_bytes", check)
        with path.open("r+b") as tar:
            tar.write(b"x")

    monkeypatch.setattr(module, "check_bytes", changed_after)
    shards = Shards(sealed.manifest, Folder(sealed.root))
    with pytest.raises(CheckError, match="sha256"), shards.open(0):
        pass


def test_bytes_that_change_behind_an_old_time_are_noticed(sealed: Any) -> None:
    path = sealed.root / sealed.manifest.shardlist[0].url
    shards, before = Shards(sealed.manifest, Folder(sealed.root)), path.stat()
    with shards.open(0):
        pass
    with path.open("r+b") as tar:
        tar.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CheckError, match="sha256"), shards.open(0):
        pass


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
    path = sealed.root / sealed.manifest.shardlist[0].url
    before = path.stat()
    mark_used(path)
    bucket, folder = Bucket.__new__(Bucket), Folder(sealed.root)
    assert bucket.stamp(before) == bucket.stamp(path.stat())
    assert folder.stamp(before) != folder.stamp(path.stat())


def test_a_network_that_fails_says_nothing_about_the_shard(sealed: Any) -> None:
    class Flaky(Notes):
        def prove(self, shard: ShardEntry) -> tuple[Path, Stamp]:
            if not self.proved:
                self.proved.append("")
                raise OutOfReach("9 attempts failed")
            return super().prove(shard)

    shards = Shards(sealed.manifest, Flaky(sealed.root))
    with pytest.raises(OutOfReach), shards.open(0):
        pass
    with shards.open(0):
        pass
