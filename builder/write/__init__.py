"""Pictures into tar shards: encode, hash, fsync, rename; a shard is there whole or not at all.

A `Job` is one shard. Jobs run in any number of processes and in any order without a change in the
bytes; one that an earlier, interrupted run completed is read back and kept.
"""

import os

from builder.write.beside import sync_folder, write_beside
from builder.write.fill import Hashed, fill
from builder.write.job import STAGES, Job, Paint, Shard, Tick, cut
from builder.write.kept import kept_shard

__all__ = ["STAGES", "Job", "Paint", "Shard", "Tick", "cut", "write_shard"]


def write_shard(job: Job, tick: Tick = lambda _: None) -> Shard:
    """The shard of `job`: the complete one that is there already, or a new one.

    Beside the tar lie its `.idx` and, in the format of sha256sum, its `.sha256`: both are there
    before the tar gets its name.
    """
    if job.path.exists() and (kept := kept_shard(job)) is not None:
        tick(len(job.samples))
        return kept
    job.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = job.path.with_name(f".{job.path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=1 << 20) as file:
            shard = fill(job, Hashed(file), tick)
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
