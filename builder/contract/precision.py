"""In which arithmetic networks are trained: its names, what a device has, and which is faster.

    fp32    float32 in every product
    tf32    float32 stored, 10 bits of mantissa in products: NVIDIA GPUs since 2020
    bf16    products in bfloat16, weights and sums in float32 (torch's autocast)

`auto` is none of them: it is asked for, and one of them is chosen, recorded and kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from builder.contract.errors import UsageError

if TYPE_CHECKING:
    from torch import device as Device

Precision = Literal["fp32", "tf32", "bf16"]
AskedPrecision = Literal["auto", "fp32", "tf32", "bf16"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
ASKED_PRECISIONS: tuple[AskedPrecision, ...] = get_args(AskedPrecision)

_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one is ARM's
_TURNS = 2  # timed ones of each precision, after one that is not counted
_GAIN = 0.9  # bf16 must take at most this share of the seconds of fp32


def check_precision(precision: Precision, device: "Device") -> None:
    """Raise UsageError where the device does not have the precision."""
    if precision == "tf32" and (device.type != "cuda" or not _gpu_has_bfloat16()):
        raise UsageError(
            f"--precision tf32 is for NVIDIA GPUs since 2020, and this run is on {device}: use fp32"
            " or bf16."
        )
    if precision == "bf16" and device.type == "cuda" and not _gpu_has_bfloat16():
        raise UsageError(f"--precision bf16 is not available on {device}: use fp32.")


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Within the block, float32 products on a GPU are TF32 unless the precision is fp32.

    Without it torch computes convolutions in TF32 and other products in float32.
    """
    import torch

    convolutions: bool = torch.backends.cudnn.allow_tf32
    products: bool = torch.backends.cuda.matmul.allow_tf32
    coarse = precision != "fp32"
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = coarse
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products


def choose_precision(device: "Device", seconds: Callable[[Precision], float]) -> Precision:
    """bf16 where it is faster on the device, otherwise fp32.

    A GPU is known by its kind. A CPU with instructions for bfloat16 is tried: `seconds(precision)`
    does the same piece of work in either precision and tells how long it took.
    """
    if device.type == "cuda":
        return "bf16" if _gpu_has_bfloat16() else "fp32"
    if device.type != "cpu" or not cpu_has_bfloat16():
        return "fp32"
    best: dict[Precision, float] = {}
    for turn in range(_TURNS + 1):
        for precision in ("fp32", "bf16"):
            found = seconds(precision)
            if turn:  # memory is allocated and kernels are made in the first one
                best[precision] = min(found, best.get(precision, found))
    return "bf16" if best["bf16"] <= _GAIN * best["fp32"] else "fp32"


def cpu_has_bfloat16(facts: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has instructions for bfloat16 products, as Linux tells in `facts`.

    Without them bfloat16 is emulated, and slower than float32.
    """
    try:
        lines = facts.read_text().splitlines()
    except OSError:
        return False
    found = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool(_CPU_FLAGS & set(found.split()))


def _gpu_has_bfloat16() -> bool:
    """Whether the GPU multiplies bfloat16, and so TF32, in hardware."""
    import torch

    has: bool = torch.cuda.is_bf16_supported(including_emulation=False)
    return has
