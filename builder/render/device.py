"""What pixels depend on where a GPU or torch makes them, and a GPU's flags → facts.

cuDNN picks kernels by the card, its own version and the shape of a batch. Kernels differ in how
they add, so bytes differ: a dataset that a GPU renders notes all of these. On a CPU torch picks
kernels by the instructions that it has.
"""

import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from builder.contract import UsageError
from builder.render.generator import Generator

_launching = threading.Lock()


def on_gpu(generator: Generator) -> bool:
    """Whether it renders on a GPU."""
    return getattr(generator, "device", "cpu") == "cuda"


def device_facts(generator: Generator) -> Mapping[str, str]:
    """The card, CUDA and cuDNN where the generator renders on a GPU.

    Where it names a `device` and that is a CPU, the instructions that torch uses there, for they
    decide in which order is added; nothing for one of its `alike_cpus`. UsageError where the GPUs
    that this process sees differ: which of them makes a shard would be in its bytes.
    """
    if not hasattr(generator, "device"):
        return {}
    import torch

    if not on_gpu(generator):
        kind = torch.backends.cpu.get_cpu_capability()
        alike = kind in getattr(generator, "alike_cpus", ())
        return {} if alike else {"device": f"{platform.machine()} with {kind}"}

    cards = {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    if len(cards) > 1:
        raise UsageError(
            f"The GPUs here differ ({', '.join(sorted(cards))}), and pixels depend on which one "
            "makes them: choose those of one kind by CUDA_VISIBLE_DEVICES."
        )
    cudnn: Callable[[], object] = torch.backends.cudnn.version  # it has no types
    return {
        "device": ", ".join(cards),
        "cuda": str(torch.version.cuda or getattr(torch.version, "hip", None)),
        "cudnn": str(cudnn()),
    }


@contextmanager
def exact(*, tf32: bool = False) -> Iterator[None]:
    """Kernels of a GPU that are launched inside give the same bits in every run.

    TF32, and algorithms chosen by timing, would make pixels differ. The flags are the process's, so
    one thread launches at a time: wait for results outside.
    """
    import torch

    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
    )
    with _launching, flags:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
