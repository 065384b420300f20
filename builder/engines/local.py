"""This machine at its own speed: who renders, and how many images at a time → LocalEngine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.claim import noted_batch
from builder.contract.cores import usable_cores
from builder.engines.workers import write_shards
from builder.progress import Advance
from builder.recipe import Batch
from builder.render import Generator, best_batch, default_batch, on_gpu
from builder.write import Shard, ShardJob


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEngine:
    """Processes, the GPUs they share, and the threads that encode."""

    workers: int
    gpus: tuple[str, ...]
    threads: int  # per process

    @classmethod
    def of(cls, generator: Generator | None, workers: int | None = None) -> "LocalEngine":
        """What the machine has: a process per GPU where the generator uses them, or per core.

        A process whose images a GPU makes has nothing else to do than encode them; one that makes
        them itself keeps a core for that.
        """
        cores = usable_cores()
        gpus = _visible_gpus() if generator and on_gpu(generator) else ()
        workers = workers or len(gpus) or cores
        threads = cores // workers - (not gpus)
        return cls(workers=workers, gpus=gpus, threads=max(threads, 0))

    @property
    def remote(self) -> bool:
        """Never: all processes are here."""
        return False

    def write_shards(self, jobs: Sequence[ShardJob], advance: Advance) -> list[Shard]:
        """The shards of all jobs, by `workers` processes."""
        return write_shards(jobs, workers=self.workers, advance=advance, gpus=self.gpus)


def images_per_call(generator: Generator, asked: Batch | None, folder: Path) -> int:
    """How many images the generator makes at a time: what is asked for, or a fixed number.

    For "auto" on a GPU it is the fastest by trial, in a build that is resumed in `folder` the one
    it was begun with.
    """
    if isinstance(asked, int):
        return asked
    if asked is None or not on_gpu(generator):
        return default_batch(generator)
    if (noted := noted_batch(folder)) is not None:
        return noted
    import torch

    found = best_batch(generator)
    torch.cuda.empty_cache()  # other processes render on the same GPU
    return found


def _visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(named.split(",")[:count] if named else map(str, range(count)))
