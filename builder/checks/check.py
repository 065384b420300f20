"""What a check is, and what it may look at → Check.

Its verdict depends on the image alone, so neither batches nor workers change what is sealed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from builder.contract import Bytes, Labels, Sample, ShardEntry, Split, UsageError, decode_image, tar
from builder.progress import Advance
from builder.recipe import Layout

ALWAYS = "constant"
DUPLICATE = "duplicate"  # no entry point: it looks across all shards of a dataset

Judge = Callable[[Bytes, Sequence[Sample]], Sequence[str]]
"""For each image of uint8 [B, H, W] the reason against it, "" without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a check may look at: the real images as they were packed."""

    layout: Layout
    shards: tuple[ShardEntry, ...]  # those of the real images, in order
    scratch: Path  # a folder for files that all processes read
    device: str = "cpu"  # "cuda" where the generator renders on a GPU, so that checks may, too
    advance: Advance = lambda _: None  # called with the real images read

    def members(self, split: Split) -> Iterator[tuple[Path, tar.Member]]:
        """The members of a split in order, each with its shard's path."""
        image = self.layout.image
        for shard in self.shards:
            if shard.split == split:
                path = self.layout.root / shard.url
                for member in tar.walk(path, image.codec, image.max_bytes):
                    yield path, member
                    self.advance(1)

    def pixels(self, members: Sequence[tar.Member]) -> Bytes:
        """uint8 [N, H, W]."""
        return np.stack([decode_image(member.image, self.layout.image) for member in members])

    def labels(self, members: Sequence[tar.Member]) -> Labels:
        """int8 [N, L]."""
        return np.array([member.labels() for member in members], dtype=np.int8)


class Check(Protocol):
    """A check whose argument was understood.

    It may have `check_held_out(images)`, which raises UsageError where val has too few images, and
    `software`, the distributions on whose versions its verdict depends.
    """

    @property
    def identity(self) -> str:
        """What goes into the recipe: the check with every default, a file as its sha256."""

    @property
    def needs(self) -> tuple[Split, ...]:
        """The splits whose real images it looks at."""

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:
        """A judge that can be pickled; called once, before any image is rendered."""


def fraction(check: str, argument: str, default: str) -> float:
    """The argument of a check as a number in (0, 1)."""
    try:
        value = float(argument or default)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(f"The check {check} takes a fraction in (0, 1), got {argument!r}.")
    return value
