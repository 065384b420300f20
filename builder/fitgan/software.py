"""On what a run's weights depend besides its settings and data."""

from collections.abc import Callable
from importlib.metadata import version

import torch


def software(device: torch.device) -> dict[str, str]:
    """The version of torch; on a GPU its name, too, and the versions of CUDA and cuDNN."""
    if device.type != "cuda":
        return {"torch": version("torch")}
    cudnn: Callable[[], object] = torch.backends.cudnn.version  # it has no types
    return {
        "torch": version("torch"),
        "device": torch.cuda.get_device_name(device),
        "cuda": str(torch.version.cuda or getattr(torch.version, "hip", None)),
        "cudnn": str(cudnn()),
    }
