"""Decoded images in memory, up to a bound, so that later epochs do not decode them again."""

import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from builder.contract import Bytes, ImageSpec, UsageError
from trainer.stream.order import Rows

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_bytes(option: str, text: str) -> int:
    """The bytes that `20GB`, `500M` or `1000` stand for; UsageError names the option."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None or not (size := int(float(found[1]) * UNITS[found[2].upper()])):
        raise UsageError(f"{option} {text} is not a size: write it like 20GB or 500M.")
    return size


def half_of_free() -> int:
    """Half of the bytes of memory that are free now, divided by the ranks on this machine.

    UsageError where the system does not say.
    """
    try:
        text = Path("/proc/meminfo").read_text()
        free = int(re.findall(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)[0]) * 1024
    except (OSError, IndexError):
        raise UsageError(
            "The free memory of this machine is unknown: give a size, such as --cache ram:8GB."
        ) from None
    return free // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class Ram:
    """The pixels of the first rows that fit; the bound alone decides which rows those are."""

    def __init__(self, rows: Rows, total: int, image: ImageSpec, max_bytes: int) -> None:
        """Room for the images of `rows` (of `total` in the index), as many as `max_bytes` hold."""
        kept = rows[: max_bytes // (image.height * image.width)]
        self._slot = np.full(total, -1, np.int64)
        self._slot[kept] = np.arange(len(kept))
        self._pixels: Bytes = np.empty((len(kept), image.height, image.width), np.uint8)
        self._there = np.zeros(len(kept), bool)

    def take(self, rows: Rows, pixels: Bytes) -> npt.NDArray[np.bool_]:
        """bool [B]: which of `rows` are kept; their pixels are copied into `pixels` [B, H, W]."""
        slots = self._slot[rows]
        found = slots >= 0
        found[found] = self._there[slots[found]]
        if found.all():
            np.take(self._pixels, slots, axis=0, out=pixels, mode="clip")
        else:
            pixels[found] = self._pixels[slots[found]]
        return found

    def keep(self, row: int, pixels: Bytes) -> None:
        """Keep the pixels [H, W] of a row, if there is room for it."""
        if (slot := self._slot[row]) >= 0:
            self._pixels[slot] = pixels
            self._there[slot] = True  # last, because another thread may read it now
