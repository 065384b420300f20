"""What makes shards, on one machine or on many → Engine."""

from collections.abc import Callable, Sequence
from typing import Protocol

from builder.progress import Advance
from builder.render import Generator
from builder.write import Shard, ShardJob


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
