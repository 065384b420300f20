"""Pictures into tar shards: encode, hash, fsync, rename; a shard is there whole or not at all.

A `Job` is one shard. Jobs run in any number of processes and in any order without a change in the
bytes; one that an earlier, interrupted run completed is read back and kept.
"""

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from builder import tar
from builder.accept import Reject, redrawn
from builder.contract import (
    CheckError,
    ImageSpec,
    Sample,
    ShardEntry,
    sha256_file,
    write_last,
)
from builder.contract.radiograph import BadImage
from builder.encode import encode
from builder.render import Picture

Paint = Callable[[Sequence[Sample]], Iterable[Picture | Reject | BadImage]]
Tick = Callable[[int], None]  # told the number of images done since the last call

STAGES = ("the generator and the checks", "encoding", "writing")

_BLOCK = 32  # images that are encoded by one task, and told to the progress bar at once
_AHEAD = 2  # blocks per encoding thread that may wait: bounds memory


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


def write_shard(job: Job, tick: Tick = lambda _: None) -> Shard:
    """The shard of `job`: the complete one that is there already, or a new one.

    Beside the tar lie its `.idx` and, in the format of sha256sum, its `.sha256`: both are there
    before the tar gets its name.
    """
    if job.path.exists() and (kept := _kept(job)) is not None:
        tick(len(job.samples))
        return kept
    job.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = job.path.with_name(f".{job.path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=1 << 20) as file:
            shard = _fill(job, _Hashed(file), tick)
            file.flush()
            os.fsync(file.fileno())
        if shard.entry is None or (shard.bad and not job.skip_bad):
            return shard
        _write_beside(job, shard)
        temporary.replace(job.path)
        _sync_folder(job.path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return shard


class _Hashed:
    """A file that hashes and counts what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.sha256.update(data)
        self.size += len(data)


def _fill(job: Job, out: _Hashed, tick: Tick) -> Shard:
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
            tick(sum(not isinstance(item, Reject) for item, *_ in items))
    out.write(tar.END)
    shard = _shard(job, kept, bad, out.size, out.sha256.hexdigest())
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


def _shard(
    job: Job,
    kept: Sequence[tuple[Sample, int, int]],
    bad: Sequence[BadImage],
    filesize: int,
    sha256: str,
) -> Shard:
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


def _kept(job: Job) -> Shard | None:
    """The shard on disk if it holds what `job` asks for; None if it must be made anew.

    Its bytes must have the sha256 that was noted when it was completed, and the names and labels
    of all members are compared. Samples that a run with --skip-bad left out are tried again, for
    their reason.
    """
    sha256 = sha256_file(job.path)
    noted = job.path.with_suffix(".sha256")
    if not noted.is_file() or noted.read_bytes() != _sum_line(job, sha256):
        return None
    try:
        members = list(tar.walk(job.path, job.image.codec, job.image.max_bytes))
    except CheckError:
        return None
    place_of = _places(job)
    places = [place_of(member) for member in members]
    samples = [_sample(job, place, member) for place, member in zip(places, members, strict=True)]
    same = all(
        sample and sample.to_json(job.pathologies) == member.json
        for sample, member in zip(samples, members, strict=True)
    )
    if not same or places != sorted(places):
        raise CheckError(
            f"{job.path} holds other samples than this build asks for: "
            "remove it, or build into another --out."
        )
    kept = [
        (sample, member.offset, len(member.image))
        for sample, member in zip(samples, members, strict=True)
        if sample
    ]
    bad = _left_out(job, set(range(len(job.samples))) - set(places))
    redraws = sum(s.draw // job.steps[s.target] for s, *_ in kept if job.steps)
    try:
        rejects = _rejects(job)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if (bad and not job.skip_bad) or len(rejects) != redraws:
        return None
    if job.aside and any(not (job.aside / f"{s.key}.png").is_file() for s, _ in rejects):
        return None
    if any(sample.key in job.banned for sample, *_ in kept):
        return None
    shard = replace(_shard(job, kept, bad, job.path.stat().st_size, sha256), rejects=tuple(rejects))
    _write_beside(job, shard)
    return shard


def _places(job: Job) -> Callable[[tar.Member], int]:
    """A function that gives a member's place among the job's samples, -1 without one."""
    if not job.steps:
        keys = {sample.key: place for place, sample in enumerate(job.samples)}
        return lambda member: keys.get(member.key, -1)
    draws = {(sample.target, sample.draw): place for place, sample in enumerate(job.samples)}

    def place_of(member: tar.Member) -> int:
        target, draw = member.drawn()
        return draws.get((target, draw % (job.steps.get(target) or 1)), -1)

    return place_of


def _sample(job: Job, place: int, member: tar.Member) -> Sample | None:
    """The sample that the job wants there, after as many redraws as the member had."""
    if place < 0:
        return None
    sample = job.samples[place]
    if not job.steps:
        return sample
    step = job.steps[sample.target]
    return redrawn(sample, member.drawn()[1] // step, step)


def _rejects(job: Job) -> list[tuple[Sample, str]]:
    """The images that were rejected for this shard, as noted when it was completed."""
    noted = job.path.with_suffix(".rejected.json")
    if not noted.is_file():
        return []
    slots = {(sample.target, sample.draw): sample for sample in job.samples}
    rejects = []
    for target, draw, reason in json.loads(noted.read_bytes()):
        step = job.steps[target]
        rejects.append((redrawn(slots[target, draw % step], draw // step, step), reason))
    return rejects


def _left_out(job: Job, places: set[int]) -> list[BadImage]:
    if not places:
        return []
    bad = []
    for place, found in enumerate(job.paint(job.samples)):
        if place in places:
            if not isinstance(found, BadImage):
                raise CheckError(
                    f"{job.path} was packed without {job.samples[place].key}, whose image can be "
                    "read now: remove the shard to pack it again."
                )
            bad.append(found)
    return bad


def _sum_line(job: Job, sha256: str) -> bytes:
    """What `sha256sum -c` reads."""
    return f"{sha256}  {job.path.name}\n".encode()


def _write_beside(job: Job, shard: Shard) -> None:
    lines = [
        tar.idx_line(s.key, job.image.codec, offset, size, len(s.to_json(job.pathologies)))
        for s, offset, size in zip(shard.samples, shard.offsets, shard.sizes, strict=True)
    ]
    assert shard.entry is not None
    write_last(job.path.with_suffix(".idx"), tar.idx_text(lines))
    if shard.rejects:
        rejects = [(sample.target, sample.draw, reason) for sample, reason in shard.rejects]
        write_last(job.path.with_suffix(".rejected.json"), json.dumps(rejects).encode())
    else:
        job.path.with_suffix(".rejected.json").unlink(missing_ok=True)
    write_last(job.path.with_suffix(".sha256"), _sum_line(job, shard.entry.sha256))


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
