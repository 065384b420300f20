"""Samples → a picture that passes the checks for each; a rejected one is drawn again.

An image that fails is rendered again for the same label vector with the next draw number that no
other image has.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock

from builder.checks.check import Judge
from builder.contract import Bytes, CheckError, Sample
from builder.render import Picture
from builder.render.lanczos import resize_block
from builder.render.threads import threads as thread_pool

MAX_REDRAWS = 20  # of one image

_BLOCK = 64  # images that are checked together at most: a batch of the classifier
_AHEAD = 4  # blocks that may wait for their verdicts: bounds memory

Render = Callable[[Iterable[Sample]], Iterable[Bytes]]
"""Samples → their images in order, in blocks uint8 [B, H, W]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedSample:
    """What is kept of a rejected image."""

    sample: Sample
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(RejectedSample):
    """An image that is not sealed, and why."""

    pixels: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Redraws:
    """How rejected images are drawn again.

    A target with n planned draws has the slots 0 … n - 1. The images that are rendered for slot s
    have the draw numbers s, s + n, s + 2n, …: no two images have one number, whoever made them.
    """

    draws_per_target: Mapping[str, int]
    banned: frozenset[str] = frozenset()  # keys of images that `duplicate` found
    rejects_dir: Path | None = None  # where rejected images are kept

    def slot(self, target: str, draw: int) -> int:
        """The slot that an image with this draw number was made for; KeyError for no target."""
        return draw % self.draws_per_target[target]

    def attempt(self, target: str, draw: int) -> int:
        """How often its slot was drawn before; KeyError for no target."""
        return draw // self.draws_per_target[target]

    def redrawn(self, sample: Sample, times: int) -> Sample:
        """The sample of a slot after so many redraws."""
        if not times:
            return sample
        draw = sample.draw + times * self.draws_per_target[sample.target]
        stem = sample.key.removesuffix(f"{sample.draw:07d}")
        return replace(sample, draw=draw, key=f"{stem}{draw:07d}")


@dataclass(frozen=True, slots=True)
class Banned:
    """Rejects the images with these keys: `duplicate` found them in the finished shards."""

    keys: frozenset[str]

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> list[str]:  # noqa: ARG002
        """The judge."""
        reason = "it is a duplicate of an earlier image"
        return [reason if sample.key in self.keys else "" for sample in samples]


def checked_pictures(
    render: Render,
    samples: Sequence[Sample],
    *,
    judges: Sequence[Judge],
    redraws: Redraws,
    keep: Callable[[Reject], None] = lambda _: None,
    image_size: int | None = None,
    threads: int = 0,
) -> Iterator[Picture | Reject]:
    """A picture for each sample in order, before it the rejects that it replaces.

    So many `threads` resize and check some blocks while the next are rendered; how many blocks does
    not depend on them, so neither does what is rendered with what. `keep` is given each reject at
    once. CheckError when one image is rejected more than MAX_REDRAWS times.
    """
    if redraws.banned:
        judges = [*judges, Banned(redraws.banned)]
    slots = _Slots(samples, redraws)
    look = _Look(judges, image_size)
    waiting: deque[tuple[list[_Asked], Callable[[], _Seen]]] = deque()
    with thread_pool(threads) as submit:
        while not slots.is_done():
            stream = render(slots.wanted())  # again where the very last images were rejected
            for block in _cut(stream):
                made = [slots.asked.popleft() for _ in block]
                waiting.append((made, submit(partial(look, block, made))))
                if len(waiting) > _AHEAD:
                    yield from slots.settled(*waiting.popleft(), keep)
            while waiting:
                yield from slots.settled(*waiting.popleft(), keep)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An image that the renderer was asked for: its place among the samples."""

    place: int
    sample: Sample


_Seen = tuple[Bytes, list[str]]  # images uint8 [B, H, W], and for each the reason against it


@dataclass(frozen=True, slots=True)
class _Look:
    """Resizes and judges a block; several threads may call it, but one at a time the judges."""

    judges: Sequence[Judge]
    image_size: int | None
    _lock: Lock = field(default_factory=Lock)  # judges of plug-ins know nothing of threads

    def __call__(self, images: Bytes, made: Sequence[_Asked]) -> _Seen:
        if self.image_size is not None:
            images = resize_block(images, self.image_size)
        with self._lock:
            return images, _judged(images, [asked.sample for asked in made], self.judges)


@dataclass(slots=True)
class _Slots:
    """The samples of a shard on their way to a picture each."""

    samples: Sequence[Sample]
    redraws: Redraws
    asked: deque[_Asked] = field(default_factory=deque)  # rendered in this order
    pictures: dict[int, Picture] = field(default_factory=dict)  # by place, not yet given
    given: int = 0
    _new: int = 0  # the first sample that was not asked for yet
    _again: deque[int] = field(default_factory=deque)  # places to draw again
    _rejects: dict[int, list[Reject]] = field(default_factory=dict)  # by place

    def is_done(self) -> bool:
        """Whether every sample has its picture."""
        return self.given == len(self.samples)

    def wanted(self) -> Iterator[Sample]:
        """What to render next; redraws come first, so that few pictures wait for their turn."""
        while self._again or self._new < len(self.samples):
            if self._again:
                place = self._again.popleft()
            else:
                place, self._new = self._new, self._new + 1
            sample = self.redraws.redrawn(self.samples[place], len(self._rejects.get(place, ())))
            self.asked.append(_Asked(place, sample))
            yield sample

    def reject(self, place: int, reject: Reject) -> None:
        """Draw a place again; CheckError where that was done too often."""
        rejects = self._rejects.setdefault(place, [])
        rejects.append(reject)
        if len(rejects) > MAX_REDRAWS:
            raise CheckError(
                f"{len(rejects)} images in a row were rejected for one label vector with "
                f"{reject.sample.target}, the last one because {reject.reason}: the generator "
                "cannot show it, or --check is too strict; use --keep-rejects to look at them."
            )
        self._again.append(place)

    def settled(
        self, made: Sequence[_Asked], get: Callable[[], _Seen], keep: Callable[[Reject], None]
    ) -> Iterator[Picture | Reject]:
        """The pictures whose turn has come by a block that was looked at."""
        images, reasons = get()
        for asked, pixels, reason in zip(made, images, reasons, strict=True):
            if reason:
                reject = Reject(sample=asked.sample, pixels=pixels, reason=reason)
                keep(reject)
                self.reject(asked.place, reject)
            else:
                self.pictures[asked.place] = Picture(sample=asked.sample, pixels=pixels)
        yield from self.ready()

    def ready(self) -> Iterator[Picture | Reject]:
        """The pictures whose turn has come, each after its rejects."""
        while self.given in self.pictures:
            yield from self._rejects.pop(self.given, ())
            yield self.pictures.pop(self.given)
            self.given += 1


def _cut(blocks: Iterable[Bytes]) -> Iterator[Bytes]:
    """The blocks, the large ones in parts of _BLOCK images; nothing is copied."""
    for block in blocks:
        yield from (block[i : i + _BLOCK] for i in range(0, len(block), _BLOCK))


def _judged(images: Bytes, samples: Sequence[Sample], judges: Sequence[Judge]) -> list[str]:
    """For each image the first reason against it, or ""."""
    reasons = zip(*(judge(images, samples) for judge in judges), strict=True)
    return [next(filter(None, each), "") for each in reasons]
