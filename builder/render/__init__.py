"""Samples (label vectors and latents) → Picture: uint8 [H, W] pixels, made in batches.

`generator` says what a generator is, `label_map` which of its labels shows a pathology, `loop`
keeps the device busy, `batch` finds the fastest size.
"""

from builder.render.batch import BATCH, MAX_BATCH, best_batch
from builder.render.generator import Floats, Generator, check_generator
from builder.render.label_map import LabelMap, parse_label_map, resolve_label_map
from builder.render.loop import Picture, condition, render

__all__ = [
    "BATCH",
    "MAX_BATCH",
    "Floats",
    "Generator",
    "LabelMap",
    "Picture",
    "best_batch",
    "check_generator",
    "condition",
    "parse_label_map",
    "render",
    "resolve_label_map",
]
