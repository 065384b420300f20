"""Shards are sent together, and come back for checks, each byte proved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.contract import ShardEntry, sha256_file
from builder.engines import travel
from builder.engines.travel import fetched_back, send_all
from builder.progress import progress
from builder.recipe import Layout
from builder.store import Cache
from builder.store.destination import Destination, Target
from builder.store.sending import Advance, Alive, Outgoing
from builder.write import Shard, ShardJob, write_shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder(Destination):
    """A place on this disk, which takes files and gives them as a bucket does."""

    folder: Path

    def open(self, alive: Alive = lambda: None) -> Target:
        assert alive
        return self  # type: ignore[return-value]

    def put(self, files: Sequence[Outgoing], advance: Advance) -> bool:
        for file in files:
            path = self.folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.source.read_bytes() if file.source else file.data or b"")
            advance(file.size)
        return True


class Giver:
    """A stand-in for Remote."""

    def __init__(self, url: str, cache: Cache) -> None:
        self._from, self._cache = Path(url), cache

    def fetch(self, path: str, *, size: int, sha256: str) -> Path:
        self._cache.folder.mkdir(exist_ok=True)
        local = self._cache.folder / sha256
        local.write_bytes((self._from / path).read_bytes())
        assert (local.stat().st_size, sha256_file(local)) == (size, sha256)
        return local

    def close(self) -> None: ...


@pytest.fixture
def made(job_of: Callable[..., ShardJob]) -> tuple[Layout, list[Shard]]:
    jobs = [job_of(number) for number in range(3)]
    return jobs[0].layout, [write_shard(job) for job in jobs]


def entries(shards: Sequence[Shard]) -> list[ShardEntry]:
    return [shard.entry for shard in shards if shard.entry]


def test_shards_are_removed_when_all_have_arrived_and_come_back(
    made: tuple[Layout, list[Shard]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, shards = made
    place = Folder(url=str(tmp_path / "there"), folder=tmp_path / "there")
    send_all([*shards, replace(shards[0], entry=None)], layout, place, progress)
    assert not [*layout.root.rglob("*.tar")]
    monkeypatch.setattr(travel, "Remote", Giver)
    (tmp_path / "scratch").mkdir()
    back = fetched_back(entries(shards)[1:], layout, place, tmp_path / "scratch", progress)
    assert back.root.is_relative_to(tmp_path / "scratch")
    found = sorted(path.relative_to(back.root).as_posix() for path in back.root.rglob("*.tar"))
    assert found == [entry.url for entry in entries(shards)[1:]]


def test_shards_stay_here_where_one_does_not_arrive(
    made: tuple[Layout, list[Shard]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, shards = made
    place = Folder(url="s3://bucket/set", folder=tmp_path / "there")

    def refuse(entry: ShardEntry, *_: object) -> None:
        if entry == entries(shards)[-1]:
            raise ConnectionError

    monkeypatch.setattr(travel, "send_shard", refuse)
    with pytest.raises(ConnectionError):
        send_all(shards, layout, place, progress)
    assert len([*layout.root.rglob("*.tar")]) == 3
