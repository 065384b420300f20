"""Processes that torchrun or a scheduler started as ranks: the GPU of each, and a lost one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from builder.contract.errors import CheckError, UsageError

TIMEOUT = timedelta(minutes=30)  # a rank may wait while another one hashes shards or saves


def ranks() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_gpu(visible: int) -> int:
    """The number of this rank's GPU among those that it sees.

    torchrun shows every rank all GPUs of its machine. Some schedulers show each rank its own one,
    which then is number 0 for all of them. UsageError where there are more ranks than GPUs.
    """
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if visible == 1:
        return 0
    if number >= visible:
        raise UsageError(
            f"Rank {number} of this machine finds {visible} GPUs: start one process per GPU, as"
            f" --nproc-per-node={max(1, visible)} does."
        )
    return number


@contextmanager
def lost_ranks_in_one_sentence() -> Iterator[None]:
    """CheckError where another rank died or did not answer within TIMEOUT."""
    import torch.distributed as dist

    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise CheckError(
            "Another process of this run ended or did not answer for"
            f" {TIMEOUT.total_seconds() / 60:.0f} minutes: its own message says why, and the same"
            f" command resumes ({reason[:200]})."
        ) from None
