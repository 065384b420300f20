"""The device at its own speed: who renders, how many at a time, and what it waited for → Shards."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from builder.checks.duplicate import duplicates
from builder.claim import refuse_strangers
from builder.contract import Bytes, CheckError, decode_image, tar, write_last
from builder.engines.workers import write_shards
from builder.progress import Progress
from builder.render import BATCH, Generator, best_batch
from builder.write import STAGES, Job, Shard

_BLOCK = 1024  # images that are compared together


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """How fast images were rendered by this run; those of an earlier one do not count."""

    images: int  # rejected ones included
    seconds: float
    waited: dict[str, float]  # seconds of all workers, by write.STAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Processes, the GPUs they share, images per call of the generator, and encoding threads."""

    workers: int
    gpus: tuple[str, ...]
    batch: int
    threads: int  # per process

    @classmethod
    def of(
        cls, generator: Generator, *, workers: int | None, batch: int | None, folder: Path
    ) -> "Engine":
        """What the machine has: a process per GPU where the generator uses them, or per core.

        On a GPU pixels may depend on the batch, so the one found by trial is noted in `folder` for
        a build that goes on.
        """
        cores = os.cpu_count() or 1
        gpus = _visible_gpus() if getattr(generator, "device", "cpu") == "cuda" else ()
        workers = workers or len(gpus) or cores
        if gpus and not batch:
            batch = _noted(folder / "batch.json") or best_batch(generator)
            write_last(folder / "batch.json", json.dumps(batch).encode())
            _release()
        return cls(
            workers=workers,
            gpus=gpus,
            batch=batch or BATCH,
            threads=max(cores // workers - 1, 0),
        )

    def render(
        self, jobs: Callable[..., list[Job]], folder: Path, distinct: bool, progress: Progress
    ) -> tuple[list[Shard], Throughput]:
        """The finished shards in `folder`, no two images of which are alike where `distinct`.

        `jobs(banned=keys)` gives what to make. Duplicates are replaced in further rounds, whose
        keys are noted before, so that an interrupted build goes on with the same round.
        """
        todo = jobs(banned=frozenset())
        refuse_strangers(folder, [job.path for job in todo])
        noted = _noted(folder / "duplicates.json") if distinct else None
        if noted and noted["steps"] == _steps(todo):  # not of a plan before images were mended
            todo = jobs(banned=frozenset(noted["keys"]))
        total = sum(len(job.samples) for job in todo)
        made: list[Shard] = []
        seconds = 0.0
        while True:
            begin = time.perf_counter()
            with progress("rendering synthetic images", total) as advance:
                shards = write_shards(todo, workers=self.workers, advance=advance, gpus=self.gpus)
            seconds += time.perf_counter() - begin
            made += [shard for shard in shards if shard.pace]
            found = duplicates(_read_back(todo)) if distinct else frozenset()
            if not found:
                break
            if 2 * len(found) > total:
                raise CheckError(
                    f"{len(found):,} of {total:,} images are duplicates of others: the generator "
                    "has collapsed, or differs too little for --accept duplicate."
                )
            banned = found.union(*(job.banned for job in todo))
            note = {"steps": _steps(todo), "keys": sorted(banned)}
            write_last(folder / "duplicates.json", json.dumps(note).encode())
            todo = jobs(banned=banned)
        waited = {stage: sum(shard.pace[stage] for shard in made) for stage in STAGES}
        images = sum(len(shard.samples) + len(shard.rejects) for shard in made)
        return shards, Throughput(images=images, seconds=seconds, waited=waited)


def _release() -> None:
    """Give the memory of the trials back: other processes render on the same GPU."""
    import torch

    torch.cuda.empty_cache()


def _noted(path: Path) -> Any:
    """What the JSON file holds; None without one."""
    return json.loads(path.read_bytes()) if path.is_file() else None


def _steps(jobs: Sequence[Job]) -> dict[str, int]:
    """The planned draws per target, the same for all jobs."""
    return dict(jobs[0].steps) if jobs else {}


def _visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(named.split(",")[:count] if named else map(str, range(count)))


def _read_back(jobs: Sequence[Job]) -> Iterator[tuple[list[str], Bytes]]:
    """The keys and the images uint8 [N, H, W] of the finished shards, some at a time."""
    for job in jobs:
        members = tar.walk(job.path, job.image.codec, job.image.max_bytes)
        while block := list(islice(members, _BLOCK)):
            images = np.stack([decode_image(member.image, job.image) for member in block])
            yield [member.key for member in block], images
