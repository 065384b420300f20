"""A complete shard to where it goes, and one that went there before → Shard.

The tar is sent first and read back, its notes after it, the .sha256 last: where that is, the shard
is there. So a build that is resumed asks for the notes alone, on whatever machine. A shard without
images has notes and no tar, and its images are tried again by each run that asks for it.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath

from builder.contract import ShardEntry, sha256_bytes, tar
from builder.contract.sketch import SKETCH_BYTES
from builder.recipe import Layout
from builder.store.destination import Destination, Target
from builder.store.sending import Advance, Alive, Outgoing, made
from builder.write.job import Shard, ShardJob, StoredSample, entry_of
from builder.write.resume import bad_images, expected_samples, rejects_of
from builder.write.sidecars import (
    NOTES,
    Rejects,
    empty_sum,
    is_noted_empty,
    parse_rejects,
)

_NOTE = 1 << 12  # bytes that a sample takes in notes, at most; redraws of it included


def send_shard(
    entry: ShardEntry, layout: Layout, destination: Destination, advance: Advance
) -> None:
    """Send a complete shard of this disk with its notes; what is there already is not sent again.

    UsageError where another one is in its place. `advance` is called with bytes sent.
    """
    path = layout.root / entry.url
    shard = Outgoing(path=entry.url, size=entry.filesize, sha256=entry.sha256, source=path)
    files = [shard, *_notes(entry.url, layout)]
    destination.open(partial(advance, 0)).put(files, advance)


def send_empty(url: str, layout: Layout, destination: Destination, advance: Advance) -> None:
    """Send the notes of a shard without images, as `send_shard` does."""
    destination.open(partial(advance, 0)).put(_notes(url, layout), advance)


def sent_shard(
    job: ShardJob, destination: Destination, alive: Alive = lambda: None
) -> Shard | None:
    """The shard of `job`, if it is there, as its notes tell it; None where it must be made.

    Names and sizes of all members must be those that the job asks for, and the tar as long as they
    make it. Its bytes were read back when they were sent, and every reader hashes them. `alive` as
    in `Destination.open`.
    """
    target = destination.open(alive)
    most = _NOTE * (len(job.samples) + 1)
    sums = target.read(_note(job.url, ".sha256"), most)
    if sums is None:
        return None
    size = target.size(job.url)
    index, sketches = (target.read(_note(job.url, each), most) or b"" for each in NOTES[:2])
    stored = _stored(job, index, sketches, size)
    sha256 = sums[:64].decode(errors="replace")
    if stored is None or sums != _sums(job.url, sha256, sketches):
        return None
    places = expected_samples(job)
    found = [places(each.sample.key) for each in stored]
    left_out = set(range(len(job.samples))) - {place[0] for place in found if place}
    bad = bad_images(job, left_out)
    if bad and not job.skip_bad:
        return None
    samples = [each.sample for each in stored]
    rejects = rejects_of(job, samples, lambda: _rejects(job, target, most))
    if rejects is None:
        return None
    return Shard(
        entry=entry_of(job, stored, size or 0, sha256),
        stored=tuple(stored),
        bad=tuple(bad),
        rejects=tuple(rejects),
        waited=None,
    )


def absent(jobs: Sequence[ShardJob]) -> list[str]:
    """The shards that are neither complete on this disk nor where they go.

    One is complete, too, if its notes say that none of its images could be read.
    """
    listed: dict[str, dict[str, int]] = {}
    missing = []
    for job in jobs:
        if job.path.exists() or is_noted_empty(job.path):
            continue
        if (destination := job.layout.destination) is not None:
            place = PurePosixPath(job.url)
            folder = str(place.parent)
            if folder not in listed:
                listed[folder] = destination.open().sizes(folder)
            sums = listed[folder].get(place.with_suffix(".sha256").name)
            empty = sums == len(empty_sum(job.path))  # with a tar it names that, too
            if sums is not None and (empty or place.name in listed[folder]):
                continue
        missing.append(job.url)
    return missing


def _notes(url: str, layout: Layout) -> list[Outgoing]:
    """What lies next to a shard on this disk."""
    path = layout.root / url
    return [
        made(_note(url, ending), path.with_suffix(ending).read_bytes())
        for ending in NOTES
        if path.with_suffix(ending).is_file()
    ]


def _stored(
    job: ShardJob, index: bytes, sketches: bytes, size: int | None
) -> list[StoredSample] | None:
    """The samples that an .idx lists; None unless they fit the job and a tar of that size."""
    codec, expected = job.layout.image.codec, expected_samples(job)
    head, *lines = index.decode(errors="replace").splitlines() or [""]
    stored: list[StoredSample] = []
    end, last = 0, -1
    for number, line in enumerate(lines):
        words = line.split(" ")
        found = expected(words[3].removesuffix(f".{codec}")) if len(words) == 8 else None
        if found is None or found[0] <= last or not words[2].isdecimal():
            return None
        (last, sample), length = found, int(words[2])
        json, offset = len(sample.to_json(job.layout.pathologies)), end + tar.BLOCK
        if line != tar.idx_line(sample.key, codec, offset, length, json):
            return None
        end = offset + sum(-(-each // tar.BLOCK) * tar.BLOCK for each in (length, json)) + tar.BLOCK
        sketch = sketches[number * SKETCH_BYTES : (number + 1) * SKETCH_BYTES]
        stored.append(StoredSample(sample=sample, offset=offset, size=length, sketch=sketch))
    whole = head == f"v1.2 {len(lines)}" and size == end + len(tar.END)
    return stored if stored and whole else None


def _rejects(job: ShardJob, target: Target, most: int) -> Rejects:
    url = _note(job.url, ".rejected.json")
    data = target.read(url, most)
    return () if data is None else parse_rejects(data, url)


def _sums(url: str, sha256: str, sketches: bytes) -> bytes:
    """What the .sha256 of a shard with these sketches says; `sidecars.sum_lines` writes it."""
    name = PurePosixPath(url).name
    sketch = PurePosixPath(_note(url, ".sketch")).name
    return f"{sha256}  {name}\n{sha256_bytes(sketches)}  {sketch}\n".encode()


def _note(url: str, ending: str) -> str:
    return str(PurePosixPath(url).with_suffix(ending))
