"""A few iterations on noise in either precision: which one a run on this device should take."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from builder.contract.precision import Precision, choose_precision
from builder.fitgan.data import Reals
from builder.fitgan.distributed import Ranks
from builder.fitgan.settings import Settings
from builder.fitgan.train import iterate, make_networks

_BATCH = 16  # images at most
_LARGE, _SMALL_BATCH = 256, 4  # from so many pixels on, only so many images


def fastest(settings: Settings, labels: Sequence[str], device: torch.device) -> Precision:
    """The precision in which such a run is fastest on the device; the trial takes seconds."""

    def seconds(precision: Precision) -> float:
        whole = replace(settings, grow=False, grow_from=4, grow_kimg=0.0, compile=False)
        tried = replace(whole, precision=precision, batch=batch)
        networks = make_networks(tried, tuple(labels), device)
        networks.iteration = 1  # without R1, as 15 of 16 iterations are
        start = time.perf_counter()
        for _ in iterate(networks, reals, tried, Ranks(), end=2):
            pass
        return time.perf_counter() - start

    batch = min(settings.batch, _BATCH if settings.resolution < _LARGE else _SMALL_BATCH)
    reals = noise(settings.resolution, labels, batch)
    return choose_precision(device, seconds)


def noise(resolution: int, labels: Sequence[str], count: int) -> Reals:
    """So many images of random pixels and labels, to measure speed."""
    random = torch.Generator().manual_seed(0)
    shape = (count, resolution, resolution)
    return Reals(
        images=torch.randint(256, shape, dtype=torch.uint8, generator=random),
        labels=torch.randint(2, (count, len(labels)), generator=random).float(),
        pathologies=tuple(labels),
        patients=count,
        patients_sha256="",
        rows_of=tuple(torch.arange(count) for _ in labels),
    )
