"""The members of a shard, block by block: one is encoded while the next images are made."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import BinaryIO

from builder.checks import Reject, RejectedSample
from builder.contract import Sample, tar
from builder.contract.radiograph import BadImage
from builder.contract.sketch import SKETCH_BYTES, Sketches
from builder.progress import Advance
from builder.render import Picture
from builder.render.threads import threads
from builder.write.encode import encode
from builder.write.job import STAGES, Shard, ShardJob, StoredSample, entry_of

_BLOCK = 32  # images that are encoded by one task, and told to the progress bar at once
_AHEAD = 2  # blocks per encoding thread that may wait: bounds memory


class Hashed:
    """A file that hashes and counts what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        """An empty file that is open for writing."""
        self.size = 0
        self._file = file
        self._sha256 = hashlib.sha256()

    def write(self, *parts: bytes) -> None:
        """Append the parts. (A thread of its own for this was measured, and was no faster.)"""
        self._file.writelines(parts)
        for part in parts:
            self._sha256.update(part)
            self.size += len(part)

    def hexdigest(self) -> str:
        """The sha256 of all bytes."""
        return self._sha256.hexdigest()


_Placed = tuple[Sample, int, int]  # sample, offset within its block, size


@dataclass(slots=True, kw_only=True)
class _Encoded:
    """Some items of a shard: the bytes of the members, and what they hold and do not hold."""

    members: list[bytes] = field(default_factory=list)  # in parts
    stored: list[_Placed] = field(default_factory=list)
    sketches: bytes = b""  # one after the other
    bad: list[BadImage] = field(default_factory=list)
    rejects: list[RejectedSample] = field(default_factory=list)


class Filling:
    """A shard on its way: its pictures are produced, encoded by threads, and written in order."""

    def __init__(self, job: ShardJob, out: Hashed, advance: Advance) -> None:
        """Nothing is produced yet."""
        self._job, self._out, self._advance = job, out, advance
        self._stored: list[StoredSample] = []
        self._bad: list[BadImage] = []
        self._rejects: list[RejectedSample] = []
        self._waited = dict.fromkeys(STAGES, 0.0)
        self._waiting: deque[Callable[[], _Encoded]] = deque()
        self._stack = ExitStack()

    def produce(self) -> None:
        """Make all pictures; the last blocks may still be on their way when this returns."""
        submit = self._stack.enter_context(threads(self._job.threads))
        items = iter(self._job.painter.produce(self._job.samples))
        while True:
            with _timed(self._waited, STAGES[0]):
                block = list(islice(items, _BLOCK))
            if not block:
                return
            self._waiting.append(submit(partial(_encoded, self._job, block)))
            while len(self._waiting) > _AHEAD * self._job.threads:
                self._write()

    def finish(self) -> Shard:
        """Write what is left; another thread may do it, while this one produces the next shard."""
        while self._waiting:
            self._write()
        self._out.write(tar.END)
        entry = entry_of(self._job, self._stored, self._out.size, self._out.hexdigest())
        self._stack.close()
        return Shard(
            entry=entry if self._stored else None,
            stored=tuple(self._stored),
            bad=tuple(self._bad),
            rejects=tuple(self._rejects),
            waited=self._waited,
        )

    def give_up(self) -> None:
        """End the threads; what they have not begun is never done."""
        self._stack.close()

    def _write(self) -> None:
        """Append the oldest block."""
        with _timed(self._waited, STAGES[1]):
            encoded = self._waiting.popleft()()
        with _timed(self._waited, STAGES[2]):
            start = self._out.size
            self._out.write(*encoded.members)
        self._stored += [
            StoredSample(sample=sample, offset=start + offset, size=size, sketch=sketch)
            for (sample, offset, size), sketch in zip(
                encoded.stored, _cut(encoded.sketches), strict=True
            )
        ]
        self._bad += encoded.bad
        self._rejects += encoded.rejects
        self._advance(len(encoded.stored) + len(encoded.bad))


def _cut(sketches: bytes) -> list[bytes]:
    return [sketches[i : i + SKETCH_BYTES] for i in range(0, len(sketches), SKETCH_BYTES)]


def _encoded(job: ShardJob, block: Sequence[Picture | Reject | BadImage]) -> _Encoded:
    """The members of a block's pictures as they stand in the tar."""
    out, layout = _Encoded(), job.layout
    codec, size = layout.image.codec, 0
    sketches = Sketches(len(block), layout.image.height, layout.image.width)
    for item in block:
        if isinstance(item, Reject):
            out.rejects.append(RejectedSample(sample=item.sample, reason=item.reason))
        elif isinstance(item, BadImage):
            out.bad.append(item)
        else:
            key, data = item.sample.key, encode(item.pixels, layout.image)
            sketches.add(item.pixels)
            json, length = item.sample.to_json(layout.pathologies), len(data)
            rest = (
                tar.padding(length),
                tar.header(f"{key}.json", len(json)),
                json,
                tar.padding(len(json)),
            )
            out.stored.append((item.sample, size + tar.BLOCK, length))
            out.members += (tar.header(f"{key}.{codec}", length), data, b"".join(rest))
            size += tar.BLOCK + length + len(out.members[-1])
    out.sketches = sketches.finish().tobytes()
    return out


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] += time.perf_counter() - begin
