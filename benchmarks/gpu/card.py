"""What the machine is: card, driver, versions, cores."""

import os
import platform
import subprocess

import torch
from scene import Finding, not_run

from builder.contract.cores import usable_cores


def facts(scene):
    """Card, driver, CUDA and cuDNN; torch, Python, cores and memory."""
    yield Finding(
        line="Python and torch", found=f"{platform.python_version()}, {torch.__version__}"
    )
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding(line="cores and memory", found=f"{usable_cores()}, {pages / 2**30:.0f} GiB")
    if not scene.gpu:
        yield not_run("card, its memory, driver, CUDA, cuDNN")
        return
    card = torch.cuda.get_device_properties(0)
    yield Finding(line="card", found=f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
    yield Finding(line="compute capability", found=f"{card.major}.{card.minor}")
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    yield Finding(line="driver", found=driver[0] if driver else "unknown")
    versions = f"{torch.version.cuda}, {torch.backends.cudnn.version()}"
    yield Finding(line="CUDA and cuDNN", found=versions)
