"""The members of a shard, block by block: one is encoded while the next images are made."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import BinaryIO

from builder.checks import Reject
from builder.contract import Sample, tar
from builder.contract.radiograph import BadImage
from builder.render import Picture
from builder.write.encode import encode
from builder.write.job import STAGES, Advance, Job, Shard, shard_of

_BLOCK = 32  # images that are encoded by one task, and told to the progress bar at once
_AHEAD = 2  # blocks per encoding thread that may wait: bounds memory


class Hashed:
    """A file that hashes and counts what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        """An empty file that is open for writing."""
        self.file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append the bytes."""
        self.file.write(data)
        self.sha256.update(data)
        self.size += len(data)


def fill(job: Job, out: Hashed, advance: Advance) -> Shard:
    """Write the members block by block: while one is encoded, the next images are made."""
    kept: list[tuple[Sample, int, int]] = []
    bad: list[BadImage] = []
    rejects: list[tuple[Sample, str]] = []
    pace = dict.fromkeys(STAGES, 0.0)
    found = iter(job.paint(job.samples))
    waiting: deque[Callable[[], _Members]] = deque()
    with _encoders(job.threads) as submit:
        while True:
            with _timed(pace, STAGES[0]):
                block = list(islice(found, _BLOCK))
            if block:
                waiting.append(submit(partial(_encoded, job, block)))
            if not waiting:
                break
            if block and len(waiting) <= _AHEAD * job.threads:
                continue
            with _timed(pace, STAGES[1]):
                items, members = waiting.popleft()()
            with _timed(pace, STAGES[2]):
                start = out.size
                out.write(members)
                for item, size, length in items:
                    if isinstance(item, Picture):
                        kept.append((item.sample, start + tar.BLOCK, size))
                        start += length
                    elif isinstance(item, Reject):
                        rejects.append((item.sample, item.reason))
                    else:
                        bad.append(item)
            advance(sum(not isinstance(item, Reject) for item, *_ in items))
    out.write(tar.END)
    shard = shard_of(job, kept, bad, out.size, out.sha256.hexdigest())
    return replace(shard, rejects=tuple(rejects), pace=pace)


def _encoded(job: Job, block: Sequence[Picture | Reject | BadImage]) -> "_Members":
    """The members of a block's pictures as they stand in the tar, at once.

    Before them each item with the bytes of its image and those that it takes up in the tar.
    """
    items: list[tuple[Picture | Reject | BadImage, int, int]] = []
    parts: list[bytes] = []
    for item in block:
        if not isinstance(item, Picture):
            items.append((item, 0, 0))
            continue
        data, json = encode(item.pixels, job.image), item.sample.to_json(job.pathologies)
        key = item.sample.key
        members = (
            tar.header(f"{key}.{job.image.codec}", len(data)),
            data,
            tar.padding(len(data)),
            tar.header(f"{key}.json", len(json)),
            json,
            tar.padding(len(json)),
        )
        parts += members
        items.append((item, len(data), sum(map(len, members))))
    return items, b"".join(parts)


_Members = tuple[list[tuple[Picture | Reject | BadImage, int, int]], bytes]


@contextmanager
def _encoders(
    threads: int,
) -> "Iterator[Callable[[Callable[[], _Members]], Callable[[], _Members]]]":
    """A function that hands a task to a thread and returns what waits for it; without threads the
    task is done when it is waited for."""
    if not threads:
        yield lambda task: task
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda task: pool.submit(task).result


@contextmanager
def _timed(pace: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    pace[stage] += time.perf_counter() - begin
