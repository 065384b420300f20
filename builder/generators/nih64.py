"""The embedded generator: radiographs of 64 pixels with NIH ChestX-ray14's labels.

A `pggan` that `xbuild fit-gan` made from 881 patients; `nih64.card.md` says from what, how, how
good it is and what limits it.
"""

from pathlib import Path

from builder.contract import UsageError
from builder.generators import pggan


def load(argument: str, image_size: int, *, precision: str = "fp32") -> pggan.PgganGenerator:
    """The generator in nih64.safetensors, beside this file; it takes no argument."""
    if argument:
        raise UsageError(f"The generator nih64 takes no argument, got {argument!r}.")
    weights = Path(__file__).with_suffix(".safetensors")
    return pggan.load(str(weights), image_size, precision=precision)
