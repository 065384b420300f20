"""What a shard is made from, and what came of it → ShardJob, Shard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.checks import Redraws, Reject, RejectedSample
from builder.contract import Sample, ShardEntry
from builder.contract.radiograph import BadImage
from builder.recipe import Layout
from builder.render import Picture

STAGES = ("the generator and the checks", "encoding", "writing")


class Painter(Protocol):
    """What produces a shard's pictures; it can be pickled."""

    @property
    def redraws(self) -> Redraws | None:
        """How rejected images are drawn again; None where none is rejected."""

    def produce(self, samples: Sequence[Sample]) -> Iterable[Picture | Reject | BadImage]:
        """A picture or a bad image for each sample in order, and the rejects between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """One shard to make: its samples in order, and what produces their pictures."""

    layout: Layout
    url: str
    samples: tuple[Sample, ...]
    painter: Painter
    skip_bad: bool = False
    threads: int = 0  # that encode; 0: no core is free for them

    @property
    def path(self) -> Path:
        """Where the shard goes."""
        return self.layout.root / self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample:
    """A sample in a shard, and where its image lies there."""

    sample: Sample
    offset: int  # of the image's first byte
    size: int  # bytes of the image
    sketch: bytes  # of the image before it was encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A finished shard: its entry (None where no sample was left), its samples, what is not in it.

    `waited` is None for a shard that an earlier run completed.
    """

    entry: ShardEntry | None
    stored: tuple[StoredSample, ...]
    bad: tuple[BadImage, ...]
    rejects: tuple[RejectedSample, ...]
    waited: Mapping[str, float] | None  # seconds for each of STAGES


def cut(boundaries: Sequence[int], size: int) -> list[range]:
    """Ranges of at most `size` samples that end at every one of the ascending `boundaries`."""
    starts = [0, *boundaries[:-1]]
    return [
        range(start, min(start + size, end))
        for begin, end in zip(starts, boundaries, strict=True)
        for start in range(begin, end, size)
    ]


def entry_of(job: ShardJob, stored: Sequence[StoredSample], size: int, sha256: str) -> ShardEntry:
    """The manifest's entry of a shard with these samples, of `size` bytes."""
    return ShardEntry(
        url=job.url,
        nsamples=len(stored),
        filesize=size,
        sha256=sha256,
        split=job.samples[0].split,
        origin=job.samples[0].origin,
    )
