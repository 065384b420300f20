"""How many images a generator makes at a time: a fixed number, or the fastest by trial."""

import time
from collections.abc import Callable

import numpy as np

from builder.contract import CheckError
from builder.plugin import is_out_of_memory
from builder.render.device import on_gpu
from builder.render.generator import Floats, Generator, start_batch

BATCH = 64  # samples per call on a CPU
GPU_BATCH = 128  # and on a GPU, where pixels may depend on it
MAX_BATCH = 1024
_WORTH = 1.05  # a batch twice as large must be this much faster
_PATIENCE = 2.0  # seconds for a call above which no larger batch is tried


def default_batch(generator: Generator) -> int:
    """The samples per call where nothing else is asked for; the same on every machine."""
    return GPU_BATCH if on_gpu(generator) else BATCH


def recorded_batch(generator: Generator, asked: int | str | None) -> int | None:
    """The samples per call as a recipe notes them: None where pixels do not depend on them."""
    if not on_gpu(generator):
        return None
    return asked if isinstance(asked, int) else default_batch(generator)


def best_batch(generator: Generator, clock: Callable[[], float] = time.perf_counter) -> int:
    """The batch size of the most images/s: doubled while that pays and memory lasts.

    It begins at the default, or below where memory does not suffice. The first call of a size is
    not timed: it loads kernels. CheckError where there is no memory for one image.
    """
    size = default_batch(generator)
    while not _has_memory(generator, size):
        if size == 1:
            raise CheckError("The device has not enough memory for a single image.")
        size //= 2
    best, rate = size, 0.0
    while True:
        seconds = _seconds(generator, size, clock)
        if seconds is None or size / seconds < _WORTH * rate:
            return best
        best, rate = size, size / seconds
        size *= 2
        if seconds > _PATIENCE or size > MAX_BATCH or not _has_memory(generator, size):
            return best


def _has_memory(generator: Generator, size: int) -> bool:
    """Whether a call with so many samples succeeds."""
    try:
        start_batch(generator, *_inputs(generator, size))()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _seconds(generator: Generator, size: int, clock: Callable[[], float]) -> float | None:
    """The seconds of a call, of three under way at once; None where memory does not suffice."""
    inputs = _inputs(generator, size)
    begin = clock()
    try:
        for get in [start_batch(generator, *inputs) for _ in range(3)]:
            get()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    return (clock() - begin) / 3


def _inputs(generator: Generator, size: int) -> tuple[Floats, Floats]:
    latents = np.zeros((size, generator.latent_size), np.float32)
    return latents, np.zeros((size, len(generator.labels)), np.float32)
