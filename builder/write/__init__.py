"""Pictures into tar shards: encode, hash, fsync, rename; a shard is there whole or not at all.

A `Job` is one shard. Jobs run in any number of processes and in any order without a change in the
bytes; one that an earlier, interrupted run completed is read back and kept.
"""

import os

from builder.write.fill import Hashed, fill
from builder.write.job import STAGES, Advance, Job, Paint, Shard, cut
from builder.write.resume import kept_shard
from builder.write.sidecars import sync_folder, write_beside

__all__ = ["STAGES", "Advance", "Job", "Paint", "Shard", "cut", "write_shard"]


def write_shard(job: Job, advance: Advance = lambda _: None) -> Shard:
    """The shard of `job`: the complete one that is there already, or a new one.

    Beside the tar lie its `.idx` and, in the format of sha256sum, its `.sha256`: both are there
    before the tar gets its name.
    """
    if job.path.exists() and (kept := kept_shard(job)) is not None:
        advance(len(job.samples))
        return kept
    job.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = job.path.with_name(f".{job.path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=1 << 20) as file:
            shard = fill(job, Hashed(file), advance)
            file.flush()
            os.fsync(file.fileno())
        if shard.entry is None or (shard.bad and not job.skip_bad):
            return shard
        write_beside(job, shard)
        temporary.replace(job.path)
        sync_folder(job.path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return shard
