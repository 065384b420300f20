"""What a shard is made of, and what it came to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.checks import Reject
from builder.contract import ImageSpec, Sample, ShardEntry
from builder.contract.radiograph import BadImage
from builder.render import Picture

Paint = Callable[[Sequence[Sample]], Iterable[Picture | Reject | BadImage]]
Advance = Callable[[int], None]  # told the number of images done since the last call

STAGES = ("the generator and the checks", "encoding", "writing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One shard to make: its samples in order, and the picklable function that paints them."""

    root: Path
    url: str
    samples: tuple[Sample, ...]
    paint: Paint
    pathologies: tuple[str, ...]
    image: ImageSpec
    skip_bad: bool = False
    steps: Mapping[str, int] = field(default_factory=dict)  # planned draws per target: see accept
    banned: frozenset[str] = frozenset()  # keys that must not be in it
    aside: Path | None = None  # folder that gets the rejected images
    threads: int = 0  # that encode; 0: no core is free for them

    @property
    def path(self) -> Path:
        """Where the shard goes."""
        return self.root / self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A finished shard: its entry (None where no sample was left), rows and the images left out.

    `pace` is empty for a shard that an earlier run completed.
    """

    entry: ShardEntry | None
    samples: tuple[Sample, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    bad: tuple[BadImage, ...]
    rejects: tuple[tuple[Sample, str], ...] = ()  # with the reason
    pace: Mapping[str, float] = field(default_factory=dict)  # seconds waited for each STAGE


def cut(boundaries: Sequence[int], size: int) -> list[range]:
    """Ranges of at most `size` samples that end at every one of the ascending `boundaries`."""
    starts = [0, *boundaries[:-1]]
    return [
        range(start, min(start + size, end))
        for begin, end in zip(starts, boundaries, strict=True)
        for start in range(begin, end, size)
    ]


def shard_of(
    job: Job,
    kept: Sequence[tuple[Sample, int, int]],
    bad: Sequence[BadImage],
    filesize: int,
    sha256: str,
) -> Shard:
    """The shard of which `kept` samples, with the offset and size of their images, are there."""
    entry = ShardEntry(
        url=job.url,
        nsamples=len(kept),
        filesize=filesize,
        sha256=sha256,
        split=job.samples[0].split,
        origin=job.samples[0].origin,
    )
    samples, offsets, sizes = zip(*kept, strict=True) if kept else ((), (), ())
    return Shard(
        entry=entry if kept else None, samples=samples, offsets=offsets, sizes=sizes, bad=tuple(bad)
    )
