"""Pictures into tar shards: encode, hash, fsync, rename; a shard is complete or absent.

A `ShardJob` is one shard. Jobs run in any number of processes and in any order without a change in
the bytes. `fill` writes the members, `sidecars` the files next to the tar, and `resume` reads back
a shard that an interrupted run completed.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event

from builder.contract.new_file import NewFile
from builder.progress import Advance
from builder.write.fill import Filling, Hashed
from builder.write.job import STAGES, Painter, Shard, ShardJob, StoredSample, cut
from builder.write.resume import completed_shard
from builder.write.sent import absent, send_empty, send_shard, sent_shard
from builder.write.sidecars import remove_local, sync_folder, write_empty, write_sidecars
from builder.write.telling import ShardProgress

__all__ = [
    "STAGES",
    "Painter",
    "Shard",
    "ShardJob",
    "StoredSample",
    "absent",
    "cut",
    "remove_local",
    "send_shard",
    "write_each",
    "write_shard",
]


def write_shard(job: ShardJob, advance: Advance = lambda _: None) -> Shard:
    """The shard of `job`: the complete one that an earlier run left, or a new one.

    Its `.idx`, its `.sketch` and, in the format of sha256sum, its `.sha256` lie next to the tar:
    all are written before the tar gets its name. A shard none of whose images could be read has
    these notes and no tar.
    """
    (shard,) = write_each([job], advance)
    return shard


def write_each(jobs: Iterable[ShardJob], advance: Advance = lambda _: None) -> Iterator[Shard]:
    """`write_shard` of each job, in their order.

    While a shard is finished (its last blocks encoded, its bytes synchronized with the disk, its
    name given, all sent to where it goes), the pictures of the next are produced already, so that a
    GPU need not wait. `advance` is called by both threads.
    """
    finishing: deque[Future[Shard]] = deque()
    stopped = Event()
    with ThreadPoolExecutor(1) as finisher:
        try:
            for job in jobs:
                sends = job.layout.destination is not None
                told = ShardProgress(len(job.samples), advance, stopped, sends=sends)
                finishing.append(_begin(job, told, finisher))
                if len(finishing) > 1:
                    yield finishing.popleft().result()
            while finishing:
                yield finishing.popleft().result()
        except BaseException:
            stopped.set()  # so that nobody waits for a shard to be sent
            raise


def _begin(job: ShardJob, told: ShardProgress, finisher: ThreadPoolExecutor) -> Future[Shard]:
    """Produce the pictures of a shard; the future gives it when it is complete."""
    destination = job.layout.destination
    if destination is not None:
        sent = sent_shard(job, destination, partial(told.sent, 0))
        if sent is not None:
            remove_local(job.path)  # of a run that ended before it did so
            return finisher.submit(_end, sent, told)
    if job.path.exists() and (completed := completed_shard(job)) is not None:
        told.made(len(job.samples))
        return finisher.submit(_send, job, completed, told)
    new = NewFile(job.path, job.layout.root)
    filling = Filling(job, Hashed(new.file), told.made)
    try:
        filling.produce()
        return finisher.submit(_finish, job, filling, new, told)
    except BaseException:
        _discard(filling, new)
        raise


def _finish(job: ShardJob, filling: Filling, new: NewFile, told: ShardProgress) -> Shard:
    """Give the tar its name, after all that lies next to it, and send them."""
    try:
        shard = filling.finish()
        new.sync()
        if shard.bad and not job.skip_bad:
            return shard
        if shard.entry is None:
            write_empty(job.path)
        else:
            write_sidecars(job, shard.stored, shard.rejects, shard.entry.sha256)
            new.complete()
        sync_folder(job.path.parent)
    finally:
        _discard(filling, new)
    return _send(job, shard, told)


def _send(job: ShardJob, shard: Shard, told: ShardProgress) -> Shard:
    """Send a complete shard to where it goes; nothing stays of it on this disk then."""
    destination = job.layout.destination
    if destination is not None:
        if shard.entry is None:
            send_empty(job.url, job.layout, destination, told.sent)
        else:
            told.begin(shard.entry.filesize)
            send_shard(shard.entry, job.layout, destination, told.sent)
        remove_local(job.path)
    return _end(shard, told)


def _end(shard: Shard, told: ShardProgress) -> Shard:
    told.end()
    return shard


def _discard(filling: Filling, new: NewFile) -> None:
    """Leave neither threads nor an unfinished tar."""
    filling.give_up()
    new.discard()
