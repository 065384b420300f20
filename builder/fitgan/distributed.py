"""Several processes as one: torchrun's ranks share a batch, and their gradients are averaged.

Every rank draws the random numbers of the whole batch and keeps its own part of them, so that the
data a run sees do not depend on the number of ranks. A part is every size-th image: the groups of
the minibatch statistics then hold the same images as in one process.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from builder.contract import UsageError
from builder.contract.precision import PRECISIONS, Precision
from builder.contract.ranks import TIMEOUT, lost_ranks_in_one_sentence, own_gpu
from builder.contract.ranks import ranks as number_of_ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among `size` that train together; the first one alone writes files."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def part(self, batch: Tensor) -> Tensor:
        """This rank's rows of a whole batch [B, …]: [B / size, …]."""
        return batch[self.rank :: self.size]

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the ranks.

        A parameter without a gradient is unused on every rank and stays without one.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        pieces = torch.split(flat / self.size, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """The means over the ranks of float [N]: the same on all, so that all stop together."""
        if self.size == 1:
            return values
        dist.all_reduce(values)
        return values / self.size

    def agree(self, precision: Precision | None, device: torch.device) -> Precision:
        """The precision of the first rank, which alone gives one."""
        number = PRECISIONS.index(precision) if precision else 0
        if self.size > 1:
            shared = torch.tensor(number, device=device)
            dist.broadcast(shared, 0)
            number = int(shared)
        return PRECISIONS[number]

    def wait(self) -> None:
        """Return when every rank has called this."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def join(device: torch.device, batch: int) -> Iterator[tuple[Ranks, torch.device]]:
    """This process's ranks and device: alone, or one of torchrun's ranks with a GPU each.

    UsageError where the ranks cannot share a batch of that size.
    """
    size = number_of_ranks()
    if size == 1:
        yield Ranks(), device
        return
    if batch % (4 * size):
        raise UsageError(
            f"--batch {batch} does not give each of {size} processes a multiple of 4 images: use "
            f"a multiple of {4 * size}."
        )
    gpu = device.type == "cuda"
    if gpu:
        device = torch.device("cuda", own_gpu(torch.cuda.device_count()))
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if gpu else "gloo", timeout=TIMEOUT, device_id=device if gpu else None
    )
    try:
        with lost_ranks_in_one_sentence():
            yield Ranks(rank=dist.get_rank(), size=size), device
            dist.barrier()  # rank 0 may still be writing: no rank leaves before the others
    finally:
        dist.destroy_process_group()
