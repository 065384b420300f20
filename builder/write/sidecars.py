"""The files beside a tar: .idx, .sha256 and, where images were rejected, .rejected.json."""

import json
import os
from pathlib import Path

from builder.contract import tar, write_last
from builder.write.job import Job, Shard


def sum_line(job: Job, sha256: str) -> bytes:
    """What `sha256sum -c` reads."""
    return f"{sha256}  {job.path.name}\n".encode()


def write_beside(job: Job, shard: Shard) -> None:
    """Write them; the .sha256, by which a complete shard is known, comes last."""
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
    write_last(job.path.with_suffix(".sha256"), sum_line(job, shard.entry.sha256))


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
