"""Samples (label vectors and latents) → Picture: uint8 [H, W] pixels, made in batches.

`generator` says what a generator is, `loop` keeps the device busy, `batch` finds the fastest size.
"""

from builder.render.batch import BATCH, MAX_BATCH, best_batch
from builder.render.generator import Floats, Generator, check_generator
from builder.render.loop import Picture, condition, render

__all__ = [
    "BATCH",
    "MAX_BATCH",
    "Floats",
    "Generator",
    "Picture",
    "best_batch",
    "check_generator",
    "condition",
    "render",
]
