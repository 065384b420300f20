"""The larger built-in generator: radiographs of 128 pixels with NIH ChestX-ray14's labels.

A `pggan` that `xbuild fit-gan` trained on 2,782 patients, none of whom radiologists read for the
test set. `nih128.card.md` describes its data, training, quality and limits.
"""

from pathlib import Path

from builder.contract import UsageError
from builder.generators import pggan


def load(argument: str, image_size: int, *, precision: str = "fp32") -> pggan.PgganGenerator:
    """The generator in nih128.safetensors, next to this file; UsageError if it gets an argument."""
    if argument:
        raise UsageError(f"The generator nih128 takes no argument, got {argument!r}.")
    weights = Path(__file__).with_suffix(".safetensors")
    return pggan.load(str(weights), image_size, precision=precision)
