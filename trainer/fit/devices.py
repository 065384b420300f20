"""The device of this process, and its rank where torchrun started several processes."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from builder.contract import UsageError
from builder.contract.precision import Precision, arithmetic, check_precision
from builder.contract.ranks import TIMEOUT, lost_ranks_in_one_sentence, own_gpu
from builder.contract.ranks import ranks as number_of_ranks
from trainer.fit.fabric import (
    DDPStrategy,
    Fabric,
    LightningEnvironment,
    TorchElasticEnvironment,
)

FABRIC_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed"]] = {
    "fp32": "32-true",
    "tf32": "32-true",
    "bf16": "bf16-mixed",
}


@contextmanager
def connect(device: str, precision: Precision) -> Iterator[Fabric]:
    """The fabric of this process: one device, or one rank of a torchrun on CPUs or GPUs.

    The connection between ranks is closed at the end. UsageError where the device is not available
    or does not have the precision, CheckError where another rank was lost.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    ranks = number_of_ranks()
    found = pick_device(device)
    if ranks > 1 and found.index is not None:
        raise UsageError(
            f"--device {device} names one device for {ranks} ranks: use --device cuda."
        )
    check_precision(precision, found)
    fabric = _one_of(ranks, found, precision) if ranks > 1 else _alone(found, precision)
    with arithmetic(precision), lost_ranks_in_one_sentence():
        fabric.launch()
        try:
            yield fabric
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def _alone(device: torch.device, precision: Precision) -> Fabric:
    return Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=FABRIC_PRECISION[precision],
        plugins=LightningEnvironment(),
    )


def _one_of(ranks: int, device: torch.device, precision: Precision) -> Fabric:
    """The fabric of a rank; its own device is what it lists for every rank of its machine.

    Fabric takes the one at LOCAL_RANK, which may be more than the GPUs that this rank sees.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type == "cuda":
        device = torch.device("cuda", own_gpu(torch.cuda.device_count()))
    return Fabric(
        accelerator=device.type,
        devices=[device.index] if device.type == "cuda" else here,
        num_nodes=ranks // here,
        strategy=DDPStrategy(parallel_devices=[device] * here, timeout=TIMEOUT),
        precision=FABRIC_PRECISION[precision],
        plugins=TorchElasticEnvironment(),
    )


def pick_device(name: str) -> torch.device:
    """The device called `name`, proved to work; `auto` is the accelerator, otherwise the CPU.

    A rank opens its own GPU and touches no other rank's.
    """
    if number_of_ranks() > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        torch.cuda.set_device(own_gpu(torch.cuda.device_count()))
    try:
        if name == "auto":
            found = torch.accelerator.current_accelerator(check_available=True)
            return found or torch.device("cpu")
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"--device {name} is not available: try --device auto.") from None
    return device


def merged(fabric: Fabric, notes: dict[int, str]) -> dict[int, str]:
    """The notes of all ranks together."""
    if fabric.world_size == 1:
        return notes
    parts: list[dict[int, str]] = [{} for _ in range(fabric.world_size)]
    torch.distributed.all_gather_object(parts, notes)
    return {row: note for part in parts for row, note in part.items()}


def total(fabric: Fabric, values: torch.Tensor) -> torch.Tensor:
    """The sum of `values` over all ranks, on the fabric's device."""
    summed = values.to(fabric.device, copy=True)
    if fabric.world_size > 1:
        torch.distributed.all_reduce(summed)
    return summed


def device_facts(device: torch.device) -> dict[str, str]:
    """`card`, `torch` and `cudnn` of RunConfig: figures of a run depend on them a little."""
    facts = {"torch": str(torch.__version__)}
    if device.type == "cuda":
        cudnn: Callable[[], object] = torch.backends.cudnn.version  # it has no types
        facts |= {"card": torch.cuda.get_device_name(device), "cudnn": str(cudnn())}
    return facts
