"""Samples (label vectors and latents) → Picture: uint8 [H, W] pixels, made in batches.

`generator` says what a generator is, `label_map` which of its labels shows a pathology, `loop`
keeps the device busy, `batch` says how many at a time, `device` what bytes depend on where a GPU
renders, `lanczos` resizes many at once, and `threads` are those that work meanwhile.
"""

from builder.render.batch import (
    BATCH,
    GPU_BATCH,
    MAX_BATCH,
    best_batch,
    default_batch,
    recorded_batch,
)
from builder.render.device import device_facts, exact, on_gpu
from builder.render.generator import Floats, Generator, check_generator
from builder.render.label_map import (
    LabelMap,
    named_labels,
    not_shown,
    parse_label_map,
    resolve_label_map,
)
from builder.render.loop import Picture, condition, render

__all__ = [
    "BATCH",
    "GPU_BATCH",
    "MAX_BATCH",
    "Floats",
    "Generator",
    "LabelMap",
    "Picture",
    "best_batch",
    "check_generator",
    "condition",
    "default_batch",
    "device_facts",
    "exact",
    "named_labels",
    "not_shown",
    "on_gpu",
    "parse_label_map",
    "recorded_batch",
    "render",
    "resolve_label_map",
]
