"""How many images a generator makes at a time: the number that gives the most per second."""

import time
from collections.abc import Callable

import numpy as np

from builder.render.generator import Generator, is_out_of_memory, start_batch

BATCH = 64  # samples per call by default: pixels may depend on the batch's shape
MAX_BATCH = 1024
_WORTH = 1.05  # a batch twice as large must be this much faster
_PATIENCE = 2.0  # seconds for a batch above which no larger one is tried


def best_batch(generator: Generator, clock: Callable[[], float] = time.perf_counter) -> int:
    """The batch size of the most images/s: doubled from BATCH while that pays and memory lasts."""
    best, rate = BATCH, 0.0
    size = BATCH
    while size <= MAX_BATCH:
        latents = np.zeros((size, generator.latent_size), np.float32)
        labels = np.zeros((size, len(generator.labels)), np.float32)
        try:
            begin = clock()
            generator(latents, labels)  # warms up
            if clock() - begin > _PATIENCE:
                break
            begin = clock()
            for get in [start_batch(generator, latents, labels) for _ in range(3)]:
                get()
            now = 3 * size / (clock() - begin)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        if now < _WORTH * rate:
            break
        best, rate, size = size, now, 2 * size
    return best
