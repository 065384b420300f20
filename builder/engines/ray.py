"""Shards on the machines of a Ray cluster: one actor per GPU, or per core → RayEngine.

An actor makes a run of shards at a time. What dies with an actor is made again: shards that are
complete are kept, and a shard that a dead actor still finishes has the same bytes. A run that kills
its actor again and again is divided; a shard that does so alone is named when all others are done.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from builder.claim import software
from builder.contract import CheckError, UsageError, printable
from builder.engines.ray_actors import ELSEWHERE, TELL, Counts, Maker, Place
from builder.engines.workers import runs_of
from builder.progress import Advance
from builder.render import Generator, device_facts, on_gpu
from builder.write import Shard, ShardJob

_RETRIES = 2  # of a run on a new actor, where its actor died
_DIED = (RayActorError, WorkerCrashedError, OutOfMemoryError)


@contextmanager
def ray_cluster(address: str) -> Iterator["Cluster"]:
    """A connection to the cluster at `address`, or with `local` to a new one on this machine.

    UsageError where no cluster answers.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise UsageError(
            f"No Ray cluster answers at --address {printable(address)} ({printable(str(error))}): "
            "start one by `ray start --head`, or leave out --address for one on this machine."
        ) from None
    try:
        yield Cluster()
    finally:
        ray.shutdown()


class Cluster:
    """A Ray cluster to which this process is connected."""

    def engine(self, generator: Generator | None, workers: int | None) -> "RayEngine":
        """One actor per GPU where the generator uses them, otherwise per core; at most `workers`.

        UsageError where a GPU is needed and the cluster has none.
        """
        has: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cores, gpus = int(has.get("CPU", 1)), int(has.get("GPU", 0))
        on_gpus = generator is not None and on_gpu(generator)
        if on_gpus and not gpus:
            raise UsageError(
                "This process sees a GPU and the Ray cluster has none: start its nodes with GPUs, "
                "or hide them here by CUDA_VISIBLE_DEVICES=."
            )
        actors = min(workers or cores, gpus if on_gpus else cores)
        each = max(cores // actors, 1)
        return RayEngine(
            actors=actors,
            cores=each if on_gpus else 1,
            gpus=int(on_gpus),
            threads=each if on_gpus else 0,
            facts={**software(), **(device_facts(generator) if generator else {})},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Actors, and what each takes of the cluster."""

    actors: int
    cores: int
    gpus: int
    threads: int
    facts: Mapping[str, str]  # versions and cards on which bytes depend

    @property
    def remote(self) -> bool:
        """Always: actors may be anywhere."""
        return True

    def write_shards(self, jobs: Sequence[ShardJob], advance: Advance) -> list[Shard]:
        """The shards of all jobs; CheckError names those that killed every actor that tried."""
        if not jobs:
            return []
        count = min(self.actors, len(jobs))
        counts: Any = ray.remote(Counts).options(num_cpus=0).remote()
        maker: Any = ray.remote(Maker).options(
            num_cpus=self.cores,
            num_gpus=self.gpus,
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )
        actors: list[Any] = [maker.remote() for _ in range(count)]
        place = Place(counts=counts, home=Path.cwd(), facts=self.facts)
        try:
            return _Line(jobs=jobs, actors=actors, place=place, advance=advance).run()
        finally:
            for actor in (*actors, counts):
                ray.kill(actor)


class _Line:
    """Runs of jobs on their way through the actors."""

    def __init__(
        self,
        *,
        jobs: Sequence[ShardJob],
        actors: Sequence[Any],
        place: "Place",
        advance: Advance,
    ) -> None:
        self._jobs = [_portable(job) for job in jobs]
        self._painters = _put_painters(self._jobs)
        self._place, self._advance = place, advance
        self._queue = deque(runs_of(range(len(jobs)), len(actors)))
        self._idle = deque(actors)
        self._waiting: dict[Any, tuple[Sequence[int], Any]] = {}
        self._made: dict[int, Shard] = {}
        self._deadly: list[int] = []
        self._told = 0

    def run(self) -> list[Shard]:
        """The shards in order; the first error of a job ends all."""
        while self._queue or self._waiting:
            while self._queue and self._idle:
                self._send(self._queue.popleft(), self._idle.popleft())
            done, _ = ray.wait([*self._waiting], num_returns=1, timeout=TELL)
            for ref in done:
                self._receive(ref)
            self._tell()
        if self._deadly:
            urls = ", ".join(self._jobs[number].url for number in self._deadly[:3])
            raise CheckError(
                f"Every process that made {urls} died (out of memory?), {len(self._deadly):,} of "
                f"{len(self._jobs):,} shards in all; the others are complete: run the same command "
                "again, with fewer --workers where memory is short."
            )
        return [self._made[number] for number in range(len(self._jobs))]

    def _send(self, run: Sequence[int], actor: Any) -> None:
        jobs = [self._jobs[number] for number in run]
        painters = [self._painters[id(job.painter)] for job in jobs]
        bare = [replace(job, painter=ELSEWHERE) for job in jobs]
        self._waiting[actor.make.remote(self._place, run[0], bare, *painters)] = run, actor

    def _receive(self, ref: Any) -> None:
        run, actor = self._waiting.pop(ref)
        self._idle.append(actor)
        try:
            self._made.update(zip(run, ray.get(ref), strict=True))
        except RayTaskError as error:
            raise error.cause from None
        except _DIED:
            if len(run) > 1:
                self._queue.extend([number] for number in run)
            else:
                self._deadly += run

    def _tell(self) -> None:
        """Tell how many images are done, in finished runs and in those under way."""
        counts: Mapping[int, int] = ray.get(self._place.counts.images.remote())
        now = sum(counts.get(run[0], 0) for run, _ in self._waiting.values())
        now += sum(len(self._jobs[number].samples) for number in self._made)
        if now > self._told:  # fewer where an actor died
            self._advance(now - self._told)
            self._told = now


def _portable(job: ShardJob) -> ShardJob:
    """The job with a root that other processes understand."""
    return replace(job, layout=replace(job.layout, root=job.layout.root.absolute()))


def _put_painters(jobs: Sequence[ShardJob]) -> dict[int, Any]:
    """Each painter sent to the cluster once: it may hold what its checks compare with."""
    painters = {id(job.painter): job.painter for job in jobs}
    return {key: ray.put(painter) for key, painter in painters.items()}
