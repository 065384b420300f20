"""A shard is complete or absent, whatever happens on the way."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.contract import Bytes, Sample, sha256_file
from builder.contract.radiograph import BadImage
from builder.render import Picture
from builder.write import ShardJob, write_each, write_shard


@dataclass(frozen=True, slots=True)
class Ending:
    """Ends after some pictures: with an error, or with an image that cannot be read."""

    images: Bytes
    error: bool
    redraws: None = None

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | BadImage]:
        for sample, pixels in zip(samples[:5], self.images, strict=False):
            yield Picture(sample=sample, pixels=pixels)
        if self.error:
            raise MemoryError
        for sample in samples[5:]:
            yield BadImage(image=sample.key, reason="missing")


def test_tar_sums_and_idx_appear_together(job: ShardJob) -> None:
    told: list[int] = []
    shard = write_shard(job, told.append)
    assert shard.entry is not None
    assert shard.entry.sha256 == sha256_file(job.path)
    names = sorted(path.name for path in job.path.parent.iterdir())
    ends = ("idx", "sha256", "sketch", "tar")
    assert names == [f"train-00000-of-00001.{end}" for end in ends]
    assert sum(told) == len(job.samples)


def test_nothing_is_left_of_a_shard_that_failed(job: ShardJob, images: Bytes) -> None:
    with pytest.raises(MemoryError):
        write_shard(replace(job, painter=Ending(images, error=True)))
    assert not list(job.path.parent.iterdir())


def test_a_shard_with_bad_images_gets_its_name_only_where_that_was_asked_for(
    job: ShardJob, images: Bytes
) -> None:
    short = replace(job, painter=Ending(images, error=False))
    assert len(write_shard(short).bad) == 7
    assert not list(job.path.parent.iterdir())
    shard = write_shard(replace(short, skip_bad=True))
    assert job.path.is_file()
    assert len(shard.stored) == 5


def test_a_completed_shard_is_not_made_again(job: ShardJob, images: Bytes) -> None:
    write_shard(job)
    before = job.path.stat().st_mtime_ns
    told: list[int] = []
    write_shard(replace(job, painter=Ending(images, error=True)), told.append)
    assert job.path.stat().st_mtime_ns == before
    assert told == [12]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Produces pictures once another shard has its name."""

    images: Bytes
    other: Path
    redraws: None = None

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture]:
        until = time.monotonic() + 30
        while not self.other.exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert self.other.exists()
        yield from (
            Picture(sample=s, pixels=pixels) for s, pixels in zip(samples, self.images, strict=True)
        )


def test_a_shard_is_finished_while_the_next_is_produced(job: ShardJob, images: Bytes) -> None:
    later = replace(job, url="shards/real/later.tar", painter=Waiting(images, job.path))
    shards = list(write_each([job, later]))
    assert [shard.entry.url for shard in shards if shard.entry] == [job.url, later.url]
    assert [shard.entry for shard in write_each([job, later])] == [s.entry for s in shards]


def test_a_failure_leaves_the_shard_before_it_complete(job: ShardJob, images: Bytes) -> None:
    broken = replace(job, url="shards/real/broken.tar", painter=Ending(images, error=True))
    with pytest.raises(MemoryError):
        list(write_each([job, broken]))
    assert sorted(path.suffix for path in job.path.parent.iterdir()) == [
        ".idx",
        ".sha256",
        ".sketch",
        ".tar",
    ]


def test_a_failure_at_the_end_comes_out_and_leaves_nothing(
    job: ShardJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_shard(job)
    assert not list(job.path.parent.iterdir())


def test_two_that_write_one_shard_at_once_leave_the_same_whole_shard(
    job: ShardJob, hashes: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    write_shard(job)
    alone = hashes(tmp_path)
    job.path.unlink()
    both = threading.Barrier(2)  # neither ends before the other has begun
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(write_shard, job, lambda _: both.wait(10)) for _ in range(2)]
        shards = [task.result() for task in tasks]
    assert shards[0].entry == shards[1].entry
    assert hashes(tmp_path) == alone
    assert not [*job.path.parent.glob(".*.tmp")]
