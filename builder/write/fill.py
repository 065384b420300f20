"""The members of a shard, block by block: one is encoded while the next images are made."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import BinaryIO

from builder.checks import Reject, RejectedSample
from builder.contract import Bytes, tar
from builder.contract.radiograph import BadImage
from builder.contract.sketch import sketches_of
from builder.progress import Advance
from builder.render import Picture
from builder.write.encode import encode
from builder.write.job import STAGES, Shard, ShardJob, StoredSample, entry_of

_BLOCK = 32  # images that are encoded by one task, and told to the progress bar at once
_AHEAD = 2  # blocks per encoding thread that may wait: bounds memory


class Hashed:
    """A file that hashes and counts what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        """An empty file that is open for writing."""
        self.file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        """Append the bytes."""
        self.file.write(data)
        self.sha256.update(data)
        self.size += len(data)


@dataclass(slots=True, kw_only=True)
class _Encoded:
    """Some items of a shard: the bytes of the members, and what they hold and do not hold."""

    members: bytearray = field(default_factory=bytearray)
    stored: list[StoredSample] = field(default_factory=list)  # offsets within `members`
    bad: list[BadImage] = field(default_factory=list)
    rejects: list[RejectedSample] = field(default_factory=list)


def fill(job: ShardJob, out: Hashed, advance: Advance) -> Shard:
    """Write the members block by block: while one is encoded, the next images are made."""
    whole = _Encoded()
    waited = dict.fromkeys(STAGES, 0.0)
    items = iter(job.painter.produce(job.samples))
    waiting: deque[Callable[[], _Encoded]] = deque()
    with _encoders(job.threads) as submit:
        while True:
            with _timed(waited, STAGES[0]):
                block = list(islice(items, _BLOCK))
            if block:
                waiting.append(submit(partial(_encoded, job, block)))
            if not waiting:
                break
            if block and len(waiting) <= _AHEAD * job.threads:
                continue
            with _timed(waited, STAGES[1]):
                encoded = waiting.popleft()()
            with _timed(waited, STAGES[2]):
                start = out.size
                out.write(encoded.members)
            whole.stored += [replace(s, offset=start + s.offset) for s in encoded.stored]
            whole.bad += encoded.bad
            whole.rejects += encoded.rejects
            advance(len(encoded.stored) + len(encoded.bad))
    out.write(tar.END)
    entry = entry_of(job, whole.stored, out.size, out.sha256.hexdigest())
    return Shard(
        entry=entry if whole.stored else None,
        stored=tuple(whole.stored),
        bad=tuple(whole.bad),
        rejects=tuple(whole.rejects),
        waited=waited,
    )


def _encoded(job: ShardJob, block: Sequence[Picture | Reject | BadImage]) -> _Encoded:
    """The members of a block's pictures as they stand in the tar."""
    out = _Encoded()
    pictures = [item for item in block if isinstance(item, Picture)]
    sketches = iter(sketches_of([each.pixels for each in pictures]) if pictures else ())
    for item in block:
        if isinstance(item, Reject):
            out.rejects.append(RejectedSample(sample=item.sample, reason=item.reason))
        elif isinstance(item, BadImage):
            out.bad.append(item)
        else:
            out.stored.append(_append(job, out.members, item, next(sketches)))
    return out


def _append(job: ShardJob, members: bytearray, picture: Picture, sketch: Bytes) -> StoredSample:
    """Add a picture's two members."""
    layout, key = job.layout, picture.sample.key
    data, json = encode(picture.pixels, layout.image), picture.sample.to_json(layout.pathologies)
    offset = len(members) + tar.BLOCK
    for name, content in ((f"{key}.{layout.image.codec}", data), (f"{key}.json", json)):
        members += tar.header(name, len(content))
        members += content
        members += tar.padding(len(content))
    return StoredSample(
        sample=picture.sample, offset=offset, size=len(data), sketch=sketch.tobytes()
    )


@contextmanager
def _encoders(
    threads: int,
) -> Iterator[Callable[[Callable[[], _Encoded]], Callable[[], _Encoded]]]:
    """A function that hands a task to a thread and returns what waits for its result.

    Without threads, the task is done when its result is waited for.
    """
    if not threads:
        yield lambda task: task
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda task: pool.submit(task).result


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] += time.perf_counter() - begin
