"""Runs of shards on their way through actors, whatever dies meanwhile → the shards in order.

An actor makes a run of shards at a time. Where it dies, a new one takes its place, perhaps on
another machine, and other actors make the shards of its run, one by one: those that are complete
are kept, and a shard that a lost machine still finishes has the same bytes. A shard that kills one
actor after the other is named when all others are done.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import (
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from builder.contract import CheckError, printable
from builder.engines.ray_actors import ELSEWHERE, TELL, Place
from builder.engines.workers import runs_of
from builder.progress import Advance
from builder.write import Shard, ShardJob

PATIENCE = 600.0  # seconds without an actor: another user has the cluster, or it has lost machines
_TRIES = 3  # of a shard, and of an actor's start
_DIED = (RayActorError, WorkerCrashedError, OutOfMemoryError, ObjectLostError)


class Line:
    """What is to be made, who makes it, and who is free."""

    def __init__(
        self,
        *,
        jobs: Sequence[ShardJob],
        start: Callable[[], Any],
        actors: int,
        place: Place,
        advance: Advance,
    ) -> None:
        """Actors start, and nothing is made yet."""
        self._jobs = [_portable(job) for job in jobs]
        self._painters = _put_painters(self._jobs)
        self._start, self._place, self._advance = start, place, advance
        actors = min(actors, len(jobs))
        self._queue = deque(runs_of(range(len(jobs)), actors))
        self._starting: dict[Any, Any] = {}
        self._idle: deque[Any] = deque()
        self._waiting: dict[Any, tuple[Sequence[int], Any]] = {}
        self._made: dict[int, Shard] = {}
        self._deaths: Counter[int] = Counter()  # of actors that made this shard alone
        self._starts, self._why = _TRIES * actors, ""  # that may fail, and why the last one did
        self._deadly: list[int] = []
        self._told = 0
        self._moved = time.monotonic()
        for _ in range(actors):
            self._look(start())

    def run(self) -> list[Shard]:
        """The shards in order; the first error of a job ends all."""
        while self._queue or self._waiting:
            while self._queue and self._idle:
                self._send(self._queue.popleft(), self._idle.popleft())
            refs = [*self._waiting, *self._starting]
            if not refs:
                raise CheckError(
                    f"No process starts on the Ray cluster ({self._why}): all its machines need "
                    "the environment of this one."
                )
            done, _ = ray.wait(refs, num_returns=1, timeout=TELL)
            for ref in done:
                if ref in self._starting:
                    self._begin(ref)
                else:
                    self._receive(ref)
            self._tell()
            self._check_actors()
        if self._deadly:
            urls = ", ".join(self._jobs[number].url for number in self._deadly[:3])
            raise CheckError(
                f"Every process that made {urls} died (out of memory?), {len(self._deadly):,} of "
                f"{len(self._jobs):,} shards in all; the others are complete: run the same command "
                "again, with fewer --workers where memory is short."
            )
        return [self._made[number] for number in range(len(self._jobs))]

    def stop(self) -> None:
        """End all actors."""
        at_work = [actor for _, actor in self._waiting.values()]
        for actor in (*self._idle, *self._starting.values(), *at_work):
            ray.kill(actor)

    def _look(self, actor: Any) -> None:
        """Use the actor once it answers: it may wait for a free machine, or have died unnoticed."""
        self._starting[actor.ready.remote()] = actor

    def _begin(self, ref: Any) -> None:
        actor = self._starting.pop(ref)
        try:
            ray.get(ref)
        except _DIED as error:
            self._starts -= 1
            if self._starts > 0:
                self._look(self._start())
            self._why = printable(str(error))
        else:
            self._idle.append(actor)

    def _send(self, run: Sequence[int], actor: Any) -> None:
        jobs = [self._jobs[number] for number in run]
        painters = [self._painters[id(job.painter)] for job in jobs]
        bare = [replace(job, painter=ELSEWHERE) for job in jobs]
        self._waiting[actor.make.remote(self._place, run[0], bare, *painters)] = run, actor

    def _receive(self, ref: Any) -> None:
        run, actor = self._waiting.pop(ref)
        try:
            self._made.update(zip(run, ray.get(ref), strict=True))
        except RayTaskError as error:
            self._idle.append(actor)
            raise error.cause from None
        except _DIED:
            self._replace(actor)
            if len(run) > 1:
                self._queue.extend([number] for number in run)
                return
            self._deaths.update(run)
            if self._deaths[run[0]] < _TRIES:
                self._queue.append(run)
            else:
                self._deadly += run
        else:
            self._idle.append(actor)

    def _replace(self, actor: Any) -> None:
        """Start another one; those that are idle may have died with the same machine."""
        ray.kill(actor)
        self._look(self._start())
        while self._idle:
            self._look(self._idle.popleft())

    def _check_actors(self) -> None:
        """Raise CheckError where none has been at work for long."""
        now = time.monotonic()
        if self._waiting or self._idle:
            self._moved = now
        elif self._queue and now - self._moved > PATIENCE:
            raise CheckError(
                f"No machine of the Ray cluster has been free for {PATIENCE / 60:.0f} minutes (see "
                "`ray status`). Complete shards are kept: run the same command when one is."
            )

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
