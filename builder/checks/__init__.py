"""What an image must pass before it is sealed; a rejected one is drawn again → Picture, Reject.

A check is found by name through the entry points of group `cxr_rebalance.checks`: a function
`(argument: str) -> Check`; `NAME:ARGUMENT` passes ARGUMENT on.

An image that fails is rendered again for the same label vector with the next draw number that no
other image has: labels stay those of the plan, so its counts and shares hold whatever is rejected.
A verdict depends on the image alone, so neither batches nor workers change what is sealed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from builder.contract import (
    Bytes,
    CheckError,
    ImageSpec,
    Labels,
    Sample,
    UsageError,
    decode_image,
    tar,
)
from builder.render import Picture

GROUP = "cxr_rebalance.checks"
ALWAYS = "constant"
MAX_REDRAWS = 20  # of one image

_BLOCK = 32  # images that are judged together

Render = Callable[[Iterable[Sample]], Iterator[Bytes]]
Judge = Callable[[Bytes, Sequence[Sample]], Sequence[str]]
"""For each of uint8 [B, H, W] why it must not be sealed, or ""; by the image alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a check may look at: the real images as they were packed."""

    root: Path
    shards: tuple[tuple[str, str], ...]  # (split, url) of the real ones, in order
    image: ImageSpec
    pathologies: tuple[str, ...]
    scratch: Path  # a folder for what all processes shall read
    advance: Callable[[int], None] = lambda _: None  # told the real images looked at

    def real(self, split: str) -> Iterator[tuple[Path, tar.Member]]:
        """The members of a split in order, each with its shard's path."""
        for own, url in self.shards:
            if own == split:
                path = self.root / url
                for member in tar.walk(path, self.image.codec, self.image.max_bytes):
                    yield path, member
                    self.advance(1)

    def pixels(self, member: tar.Member) -> Bytes:
        """The image uint8 [H, W] of a member."""
        return decode_image(member.image, self.image)

    def labels(self, members: Sequence[tar.Member]) -> Labels:
        """int8 [N, L]."""
        return np.array([member.labels() for member in members], dtype=np.int8)


class Check(Protocol):
    """A check whose argument was understood."""

    identity: str  # goes into the recipe: the check with every default, a file as its sha256
    needs: tuple[str, ...]  # splits whose real images it looks at

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:
        """A judge that can be pickled; run once, before any image is rendered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """An image that is not sealed, and why."""

    sample: Sample
    pixels: Bytes
    reason: str


def find_check(word: str) -> Check:
    """The check that NAME or NAME:ARGUMENT means; UsageError if there is none."""
    name, _, argument = word.partition(":")
    found = entry_points(group=GROUP)
    if name not in found.names:
        known = ", ".join(sorted({*found.names, "duplicate"}))
        raise UsageError(f"No check is called {word!r}: --accept takes {known}.")
    check: Check = found[name].load()(argument)
    return check


def redrawn(sample: Sample, times: int, step: int) -> Sample:
    """The sample after so many redraws; `step` is the number of draws planned for its target."""
    draw = sample.draw + times * step
    stem = sample.key.removesuffix(f"{sample.draw:07d}")
    return replace(sample, draw=draw, key=f"{stem}{draw:07d}")


def accepted(
    render: Render,
    samples: Sequence[Sample],
    *,
    judges: Sequence[Judge],
    steps: dict[str, int],
    aside: Callable[[Reject], None] = lambda _: None,
) -> Iterator[Picture | Reject]:
    """A picture for each sample in order, before it the rejects that it replaces.

    `steps` has the planned draws per target; `aside` is given each reject at once. CheckError when
    one image is rejected more than MAX_REDRAWS times.
    """
    rejects: list[list[Reject]] = [[] for _ in samples]
    pictures: dict[int, Picture] = {}
    redraws: deque[int] = deque()
    asked: deque[tuple[int, Sample]] = deque()

    def wanted(first: Iterator[int]) -> Iterator[Sample]:
        """Redraws go before new samples, so that few pictures wait for their turn."""
        while True:
            place = redraws.popleft() if redraws else next(first, -1)
            if place < 0:
                return
            sample = redrawn(samples[place], len(rejects[place]), steps[samples[place].target])
            asked.append((place, sample))
            yield sample

    given, first = 0, iter(range(len(samples)))
    while given < len(samples):
        stream = render(wanted(first))  # again where the last images of all were rejected
        while block := list(islice(stream, _BLOCK)):
            images = np.stack(block)
            places, made = zip(*(asked.popleft() for _ in block), strict=True)
            reasons = _judged(images, made, judges)
            for place, sample, pixels, reason in zip(places, made, images, reasons, strict=True):
                if reason:
                    reject = Reject(sample=sample, pixels=pixels, reason=reason)
                    aside(reject)
                    rejects[place].append(reject)
                    _check_redraws(rejects[place])
                    redraws.append(place)
                else:
                    pictures[place] = Picture(sample=sample, pixels=pixels)
            while given in pictures:
                yield from rejects[given]
                yield pictures.pop(given)
                rejects[given] = []
                given += 1


def _judged(images: Bytes, samples: Sequence[Sample], judges: Sequence[Judge]) -> list[str]:
    """For each image the first reason against it, or ""."""
    reasons = zip(*(judge(images, samples) for judge in judges), strict=True)
    return [next(filter(None, each), "") for each in reasons]


def _check_redraws(rejects: Sequence[Reject]) -> None:
    if len(rejects) > MAX_REDRAWS:
        last = rejects[-1]
        raise CheckError(
            f"{len(rejects)} images in a row were rejected for one label vector with "
            f"{last.sample.target}, the last one because {last.reason}: the generator cannot show "
            "it, or --accept is too strict; --keep-rejects keeps them to look at."
        )


@dataclass(frozen=True, slots=True)
class Banned:
    """Rejects the images with these keys: `duplicate` found them in the finished shards."""

    keys: frozenset[str]

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> list[str]:  # noqa: ARG002
        """The judge."""
        words = "it is a duplicate of an earlier image"
        return [words if sample.key in self.keys else "" for sample in samples]


def fraction(check: str, argument: str, default: str) -> float:
    """The argument of a check as a number in (0, 1)."""
    try:
        value = float(argument or default)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(f"The check {check} takes a fraction in (0, 1), got {argument!r}.")
    return value
