"""Pictures into tar shards: encode, hash, fsync, rename; a shard is complete or absent.

A `ShardJob` is one shard. Jobs run in any number of processes and in any order without a change in
the bytes. `fill` writes the members, `sidecars` the files next to the tar, and `resume` reads back
a shard that an interrupted run completed.
"""

import os

from builder.progress import Advance
from builder.write.fill import Hashed, fill
from builder.write.job import STAGES, Painter, Shard, ShardJob, StoredSample, cut
from builder.write.resume import completed_shard
from builder.write.sidecars import sync_folder, write_sidecars

__all__ = ["STAGES", "Painter", "Shard", "ShardJob", "StoredSample", "cut", "write_shard"]


def write_shard(job: ShardJob, advance: Advance = lambda _: None) -> Shard:
    """The shard of `job`: the complete one that an earlier run left, or a new one.

    Its `.idx`, its `.sketch` and, in the format of sha256sum, its `.sha256` lie next to the tar:
    all are written before the tar gets its name.
    """
    if job.path.exists() and (completed := completed_shard(job)) is not None:
        advance(len(job.samples))
        return completed
    job.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = job.path.with_name(f".{job.path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=1 << 20) as file:
            shard = fill(job, Hashed(file), advance)
            file.flush()
            os.fsync(file.fileno())
        if shard.entry is None or (shard.bad and not job.skip_bad):
            return shard
        write_sidecars(job, shard.stored, shard.rejects, shard.entry.sha256)
        temporary.replace(job.path)
        sync_folder(job.path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return shard
