"""The files next to a tar: .idx, .sketch, .sha256 and, where images were rejected, .rejected.json.

The .sketch holds the sketch of each image before it was encoded, 16 bytes each: a build that is
resumed could compute it from the tar for PNG alone. Where no image of a shard could be read there
is no tar, and its notes say so: else nobody could tell such a shard from one that is not made yet.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from builder.checks import RejectedSample
from builder.contract import MAX_SAMPLES, sha256_bytes, tar, write_last
from builder.contract.record import as_record, parse_json, read_bytes
from builder.contract.sketch import SKETCH_BYTES
from builder.write.job import ShardJob, StoredSample

NOTES = (".idx", ".sketch", ".rejected.json", ".sha256")  # in the order in which they are written

Rejects = tuple[tuple[str, int, str], ...]  # (target, draw number, reason) of each


def sum_lines(shard: Path, sha256: str, sketches: bytes) -> bytes:
    """What `sha256sum -c` reads: the sha256 of the tar `shard` and of its sketches."""
    name = shard.with_suffix(".sketch").name
    return f"{sha256}  {shard.name}\n{sha256_bytes(sketches)}  {name}\n".encode()


def write_sidecars(
    job: ShardJob, stored: Sequence[StoredSample], rejects: Sequence[RejectedSample], sha256: str
) -> None:
    """Write them; the .sha256, by which a complete shard is known, comes last."""
    codec, pathologies = job.layout.image.codec, job.layout.pathologies
    lines = [
        tar.idx_line(s.sample.key, codec, s.offset, s.size, len(s.sample.to_json(pathologies)))
        for s in stored
    ]
    write_last(job.path.with_suffix(".idx"), tar.idx_text(lines))
    if rejects:
        noted = [(r.sample.target, r.sample.draw, r.reason) for r in rejects]
        write_last(job.path.with_suffix(".rejected.json"), json.dumps(noted).encode())
    else:
        job.path.with_suffix(".rejected.json").unlink(missing_ok=True)
    sketches = b"".join(each.sketch for each in stored)
    write_last(job.path.with_suffix(".sketch"), sketches)
    write_last(job.path.with_suffix(".sha256"), sum_lines(job.path, sha256, sketches))


def empty_sum(shard: Path) -> bytes:
    """What the .sha256 says of a shard without images: its sketches alone, and that is no byte."""
    return f"{sha256_bytes(b'')}  {shard.with_suffix('.sketch').name}\n".encode()


def write_empty(shard: Path) -> None:
    """Note that no image of a shard could be read; a damaged tar in its place goes."""
    remove_local(shard)
    write_last(shard.with_suffix(".idx"), tar.idx_text([]))
    write_last(shard.with_suffix(".sketch"), b"")
    write_last(shard.with_suffix(".sha256"), empty_sum(shard))


def is_noted_empty(shard: Path) -> bool:
    """Whether the notes say that no image of the shard could be read."""
    path, said = shard.with_suffix(".sha256"), empty_sum(shard)
    return path.is_file() and path.stat().st_size == len(said) and path.read_bytes() == said


def read_sketches(job: ShardJob) -> bytes:
    """The sketches of a complete shard, 16 bytes for each sample; none where they are not there.

    CheckError where the file is larger than those of any shard that is built.
    """
    path = job.path.with_suffix(".sketch")
    return read_bytes(path, SKETCH_BYTES * MAX_SAMPLES) if path.is_file() else b""


def read_rejects(job: ShardJob) -> Rejects:
    """(target, draw number, reason) of the images that were rejected for a complete shard.

    CheckError where the file does not hold that.
    """
    path = job.path.with_suffix(".rejected.json")
    return parse_rejects(read_bytes(path), str(path)) if path.is_file() else ()


def parse_rejects(data: bytes, where: str) -> Rejects:
    """The same, from the file's bytes."""
    rejects: Rejects = as_record(parse_json(data, where), Rejects, where)
    return rejects


def remove_local(shard: Path) -> None:
    """Remove a shard and its notes, which are elsewhere by now."""
    for ending in (".tar", *NOTES):
        shard.with_suffix(ending).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
