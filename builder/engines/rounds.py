"""Synthetic shards in rounds, until no two of their images are similar → Shards, Throughput."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from builder.checks.duplicate import duplicates
from builder.contract import Bytes, CheckError, decode_image, tar, write_last
from builder.contract.record import read_record
from builder.progress import Advance, Progress
from builder.render import Generator
from builder.write import STAGES, Shard, ShardJob


class Engine(Protocol):
    """Processes that make shards; who makes one, and in which order, changes no byte."""

    @property
    def threads(self) -> int:
        """Threads that encode, in each process."""

    @property
    def remote(self) -> bool:
        """Whether other machines take part, which share the output folder alone."""

    def write_shards(self, jobs: Sequence[ShardJob], advance: Advance) -> list[Shard]:
        """The finished shards of all jobs, in the jobs' order.

        Shards that an earlier run completed are proved and kept. CheckError or UsageError where a
        shard cannot be made; what is complete stays.
        """


EngineOf = Callable[[Generator | None, int | None], Engine]
"""The engine for images by a generator (None: real images), with at most so many processes."""

Jobs = Callable[[frozenset[str]], list[ShardJob]]
"""The shards to make when images with the given keys must not be in them."""

_BLOCK = 1024  # images that are compared together


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """How fast this run rendered images; those that an earlier run completed do not count."""

    images: int  # rejected ones included
    seconds: float
    waited: Mapping[str, float]  # seconds of all workers, by write.STAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duplicates:
    """The file duplicates.json: images of a plan that must be drawn again."""

    draws_per_target: dict[str, int]
    keys: tuple[str, ...]


def render_rounds(
    engine: Engine, jobs: Jobs, folder: Path, *, distinct: bool, progress: Progress
) -> tuple[list[Shard], Throughput]:
    """The finished shards in `folder`; where `distinct`, no two of their images are similar.

    Duplicates are replaced in further rounds. Their keys are noted before a round, so that an
    interrupted build resumes the same round. Where no shard is there, a note is of another build.
    """
    todo = jobs(frozenset())
    note = folder / "duplicates.json"
    if not any(folder.glob("*.tar")):
        note.unlink(missing_ok=True)
    if distinct and (banned := _noted_duplicates(note, todo)):
        todo = jobs(banned)
    made: list[Shard] = []
    seconds = 0.0
    while True:
        begin = time.perf_counter()
        with progress("rendering synthetic images", sum(len(j.samples) for j in todo)) as advance:
            shards = engine.write_shards(todo, advance)
        seconds += time.perf_counter() - begin
        made += [shard for shard in shards if shard.waited is not None]
        found = _find_duplicates(todo) if distinct else frozenset()
        if not found:
            return shards, _throughput(made, seconds)
        banned = found | _banned(todo)
        noted = _Duplicates(draws_per_target=_draws(todo), keys=tuple(sorted(banned)))
        write_last(note, json.dumps(asdict(noted)).encode())
        todo = jobs(banned)


def _throughput(made: Sequence[Shard], seconds: float) -> Throughput:
    waited = {stage: sum(shard.waited[stage] for shard in made if shard.waited) for stage in STAGES}
    images = sum(len(shard.stored) + len(shard.rejects) for shard in made)
    return Throughput(images=images, seconds=seconds, waited=waited)


def _noted_duplicates(path: Path, jobs: Sequence[ShardJob]) -> frozenset[str]:
    """The keys that an earlier run of the same plan found; images may have been repaired since."""
    if not path.is_file():
        return frozenset()
    noted = read_record(path, _Duplicates)
    return frozenset(noted.keys) if noted.draws_per_target == _draws(jobs) else frozenset()


def _draws(jobs: Sequence[ShardJob]) -> dict[str, int]:
    """The planned draws per target, the same for all jobs."""
    redraws = jobs[0].painter.redraws if jobs else None
    return dict(redraws.draws_per_target) if redraws else {}


def _banned(jobs: Sequence[ShardJob]) -> frozenset[str]:
    """The keys that must not be in the jobs' shards."""
    redraws = jobs[0].painter.redraws if jobs else None
    return redraws.banned if redraws else frozenset()


def _find_duplicates(jobs: Sequence[ShardJob]) -> frozenset[str]:
    """The duplicates in the finished shards; CheckError where they are the greater part."""
    found = duplicates(_read_back(jobs))
    total = sum(len(job.samples) for job in jobs)
    if 2 * len(found) > total:
        raise CheckError(
            f"{len(found):,} of {total:,} images are duplicates of others: the generator "
            "has collapsed, or its images differ too little for --check duplicate."
        )
    return found


def _read_back(jobs: Sequence[ShardJob]) -> Iterator[tuple[list[str], Bytes]]:
    """The keys and the images uint8 [N, H, W] of the finished shards, some at a time."""
    for job in jobs:
        image = job.layout.image
        members = tar.walk(job.path, image.codec, image.max_bytes)
        while block := list(islice(members, _BLOCK)):
            pixels = np.stack([decode_image(member.image, image) for member in block])
            yield [member.key for member in block], pixels
