"""What runs on the machines of a Ray cluster: the makers of shards, and one that counts images."""

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Never

from builder import generators
from builder.checks import Redraws
from builder.claim import noted_software
from builder.contract import CheckError, Sample
from builder.engines.painter import GeneratorPainter
from builder.render import device_facts
from builder.write import Shard, ShardJob, write_each
from builder.write.job import Painter

TELL = 0.5  # seconds between two reports of progress


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """Stands in a job for a painter that is sent apart."""

    redraws: Redraws | None = None

    def produce(self, _: Sequence[Sample]) -> Sequence[Never]:
        """Nothing is ever made by it."""
        raise AssertionError("the painter was not put back")


ELSEWHERE = _Elsewhere()


class Counts:
    """The actor that knows how many images of each run are done."""

    def __init__(self) -> None:
        """No run has begun."""
        self._images: dict[int, int] = {}

    def put(self, run: int, images: int) -> None:
        """Note it for the run that begins with this job."""
        self._images[run] = images

    def images(self) -> Mapping[int, int]:
        """The images of each run."""
        return self._images


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an actor must know of the process that sends it jobs."""

    counts: Any  # the actor Counts
    home: Path  # its current folder

    def check(self, job: ShardJob, painter: Painter) -> None:
        """Raise CheckError where this machine would make other bytes, or in another place."""
        here = socket.gethostname()
        try:
            os.chdir(self.home)
        except OSError:
            raise CheckError(
                f"{here} does not have the folder {self.home}: all machines of the cluster need "
                "the same folders, on a shared disk."
            ) from None
        if not (job.path.parent / "recipe.json").is_file():
            raise CheckError(
                f"{here} does not see {job.path.parent}: --out must be on a disk that all machines "
                "of the cluster share."
            )
        devices: Mapping[str, str] = {}
        if isinstance(painter, GeneratorPainter):
            spec = painter.generator
            devices = device_facts(generators.load(spec.name, spec.image_size, spec.options))
        noted = noted_software(job.path.parent)
        for name in dict.fromkeys((*noted, *devices)):
            wanted, found = noted.get(name), devices.get(name) or _version(name)
            if found != wanted:
                raise CheckError(
                    f"{here} has {name} {found}, and the build was begun with {wanted}: images "
                    "would differ; use machines of one kind, with the same environment."
                )


def _version(name: str) -> str | None:
    """The version of a distribution here; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class Maker:
    """The actor that makes shards."""

    def ready(self) -> None:
        """Nothing, where the actor lives."""

    def make(
        self, place: Place, first: int, jobs: Sequence[ShardJob], *painters: Painter
    ) -> list[Shard]:
        """The shards of a run that begins with the job `first`; painters come apart from jobs."""
        place.check(jobs[0], painters[0])
        images, told = 0, 0.0
        place.counts.put.remote(first, 0)

        def advance(done: int) -> None:
            nonlocal images, told
            images += done
            if time.monotonic() - told > TELL:
                place.counts.put.remote(first, images)
                told = time.monotonic()

        work = [replace(job, painter=each) for job, each in zip(jobs, painters, strict=True)]
        return list(write_each(work, advance))
