"""Pictures into tar shards: encode, hash, fsync, rename; a shard is there whole or not at all.

A `Job` is one shard. Jobs run in any number of processes and in any order without a change in the
bytes; one that an earlier, interrupted run completed is read back and kept.
"""

import hashlib
import io
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import BinaryIO

import simplejpeg
from PIL import Image

from builder import tar
from builder.contract import (
    Bytes,
    CheckError,
    ImageSpec,
    Sample,
    ShardEntry,
    sha256_file,
    write_last,
)
from builder.pack import BadImage

Paint = Callable[[Sequence[Sample]], Iterable[Bytes | BadImage]]
Tick = Callable[[int], None]  # told the number of images done since the last call

_TICK = 32


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

    @property
    def path(self) -> Path:
        """Where the shard goes."""
        return self.root / self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A finished shard: its entry (None where no sample was left), rows and the images left out."""

    entry: ShardEntry | None
    samples: tuple[Sample, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    bad: tuple[BadImage, ...]


def cut(boundaries: Sequence[int], size: int) -> list[range]:
    """Ranges of at most `size` samples that end at every one of the ascending `boundaries`."""
    starts = [0, *boundaries[:-1]]
    return [
        range(start, min(start + size, end))
        for begin, end in zip(starts, boundaries, strict=True)
        for start in range(begin, end, size)
    ]


def write_shards(jobs: Sequence[Job], *, workers: int, tick: Tick) -> list[Shard]:
    """The shards of all jobs in the jobs' order, made by `workers` processes."""
    if workers == 1 or len(jobs) <= 1:
        return [write_shard(job, tick) for job in jobs]
    context = get_context("spawn")  # a forked torch hangs
    counter, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), context, initializer=_start_worker, initargs=(counter, stop)
    )
    try:
        # Workers start on submit and keep the signal mask: Ctrl-C is the parent's to handle.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        futures = [pool.submit(_work, job) for job in jobs]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        waiting, told = set(futures), 0
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()  # the first failure ends the build; complete shards stay
            now = counter.value
            tick(now - told)
            told = now
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise CheckError(
            "A worker process was killed (out of memory?): complete shards are kept, run the same "
            "command with fewer --workers to go on."
        ) from None
    finally:
        stop.set()  # Ctrl-C or a failure: shards under way are given up at the next tick
        pool.shutdown(wait=True, cancel_futures=True)


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


def encode(pixels: Bytes, image: ImageSpec) -> bytes:
    """The image member of uint8 [H, W] pixels: grey JPEG at the spec's quality, or PNG."""
    if image.codec == "jpg":
        data: bytes = simplejpeg.encode_jpeg(
            pixels[:, :, None], quality=image.quality, colorspace="GRAY", colorsubsampling="Gray"
        )
        return data
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


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
    kept: list[tuple[Sample, int, int]] = []
    bad: list[BadImage] = []
    pictures = iter(job.paint(job.samples))
    for place, (sample, pixels) in enumerate(zip(job.samples, pictures, strict=True)):
        if isinstance(pixels, BadImage):
            bad.append(pixels)
        else:
            data, json = encode(pixels, job.image), sample.to_json(job.pathologies)
            kept.append((sample, out.size + tar.BLOCK, len(data)))
            out.write(
                tar.header(f"{sample.key}.{job.image.codec}", len(data))
                + data
                + tar.padding(len(data))
                + tar.header(f"{sample.key}.json", len(json))
                + json
                + tar.padding(len(json))
            )
        if place % _TICK == _TICK - 1:
            tick(_TICK)
    tick(len(job.samples) % _TICK)
    out.write(tar.END)
    return _shard(job, kept, bad, out.size, out.sha256.hexdigest())


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
    """The shard on disk if it holds what `job` asks for; None if it is damaged, to be made anew.

    Its bytes must have the sha256 that was noted when it was completed, and the names and labels
    of all members are compared. Samples that a run with --skip-bad left out
    are tried again, for their reason.
    """
    sha256 = sha256_file(job.path)
    noted = job.path.with_suffix(".sha256")
    if not noted.is_file() or noted.read_bytes() != _sum_line(job, sha256):
        return None
    expected = {sample.key: place for place, sample in enumerate(job.samples)}
    try:
        members = list(_members(job))
    except CheckError:
        return None
    places = [expected.get(key, -1) for key, *_ in members]
    same = all(
        place >= 0 and job.samples[place].to_json(job.pathologies) == json
        for place, (_, _, _, json) in zip(places, members, strict=True)
    )
    if not same or places != sorted(places):
        raise CheckError(
            f"{job.path} holds other samples than this build asks for: "
            "remove it, or build into another --out."
        )
    kept = [
        (job.samples[place], offset, size)
        for place, (_, offset, size, _) in zip(places, members, strict=True)
    ]
    bad = _left_out(job, set(range(len(job.samples))) - set(places))
    if bad and not job.skip_bad:
        return None
    shard = _shard(job, kept, bad, job.path.stat().st_size, sha256)
    _write_beside(job, shard)
    return shard


def _members(job: Job) -> Iterator[tuple[str, int, int, bytes]]:
    for member in tar.walk(job.path, job.image.codec, job.image.max_bytes):
        yield member.key, member.offset, len(member.image), member.json


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
    write_last(job.path.with_suffix(".sha256"), _sum_line(job, shard.entry.sha256))


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- worker processes ----------------------------------------------------------------------------

_shared: "tuple[Synchronized[int], Event] | None" = None


def _start_worker(counter: "Synchronized[int]", stop: Event) -> None:
    """Set up a worker: it reports progress, obeys `stop`, and ends when its parent does."""
    global _shared
    _shared = counter, stop
    if parent := parent_process():
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # a killed build must leave nobody behind who still writes


def _work(job: Job) -> Shard:
    def tick(images: int) -> None:
        assert _shared is not None
        counter, stop = _shared
        if stop.is_set():
            raise InterruptedError("the build was stopped")
        with counter.get_lock():
            counter.value += images

    return write_shard(job, tick)
