"""The device of this process, and its rank where torchrun started several processes."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from builder.contract import UsageError
from trainer.recipe import Precision

FABRIC_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
}


@contextmanager
def connect(device: str, precision: Precision) -> Iterator[Fabric]:
    """The fabric of this process: one device, or one rank of a torchrun on CPUs or GPUs.

    The connection between ranks is closed at the end. UsageError where the device is not available.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if ranks > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # touch no other rank's GPU
    found = pick_device(device)
    if ranks > 1 and found.index is not None:
        raise UsageError(
            f"--device {device} names one device for {ranks} ranks: use --device cuda."
        )
    fabric = Fabric(
        accelerator=found.type,
        devices=here if ranks > 1 or found.type != "cuda" else [found.index or 0],
        num_nodes=ranks // here,
        strategy="ddp" if ranks > 1 else "auto",
        precision=FABRIC_PRECISION[precision],
        plugins=TorchElasticEnvironment() if ranks > 1 else LightningEnvironment(),
    )
    fabric.launch()
    try:
        yield fabric
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def pick_device(name: str) -> torch.device:
    """The device called `name`, proved to work; `auto` is the accelerator, otherwise the CPU."""
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
