"""A sketch of an image: 4×4 mean greys in 16 bytes, by which two renderings of it are compared.

The sketch that is sealed is of the pixels before they are encoded: to decode each JPEG again would
double the cost of writing, and two renderings are compared before JPEG blurs their difference. Who
has a shard alone computes it from the decoded members instead; the two differ by at most
CODEC_DISTANCE, and not at all for PNG.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from builder.contract.png import Bytes

SIDE = 4  # cells on a side
SKETCH_BYTES = SIDE * SIDE
CODEC_DISTANCE = 3  # greys between an image and its JPEG of quality 95; 2 was seen, in noise


def sketch_of(pixels: Bytes) -> Bytes:
    """uint8 [16]: the mean grey of each cell of a 4×4 grid, row by row, halves rounded up.

    `pixels` are uint8 [H, W], at least 4 on a side; cell i ends where (i + 1)·H // 4 begins. All in
    integers, so that every machine finds the same.
    """
    one = Sketches(1, *pixels.shape)
    one.add(pixels)
    sketch: Bytes = one.finish()[0]
    return sketch


class Sketches:
    """The sketches of some images of one size, each seen while the caches still hold it.

    Some at a time cost half of what `sketch_of` each costs.
    """

    def __init__(self, most: int, height: int, width: int) -> None:
        """At most so many images."""
        self._grid = grid = _grid(height, width)
        self._bands = np.empty((most, SIDE, width), grid.kind)
        self._count, self._even = 0, height % SIDE == 0

    def add(self, pixels: Bytes) -> None:
        """One more image, uint8 [H, W]."""
        band, kind = self._bands[self._count], self._grid.kind
        self._count += 1
        if self._even:
            np.add.reduce(pixels.reshape(SIDE, -1, pixels.shape[1]), 1, kind, out=band)
            return
        rows = self._grid.rows
        for i in range(SIDE):
            np.add.reduce(pixels[rows[i] : rows[i + 1]], 0, kind, out=band[i])

    def finish(self) -> Bytes:
        """uint8 [N, 16]: the sketch of each image that was added."""
        grid, bands = self._grid, self._bands[: self._count]
        sums = np.add.reduceat(bands, grid.columns, axis=2, dtype=np.uint32)
        sums += grid.half
        sums //= grid.counts
        return sums.astype(np.uint8).reshape(self._count, SKETCH_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """The cells of images of one size."""

    rows: list[int]  # [5] edges
    columns: list[int]  # [4] first columns
    counts: npt.NDArray[np.uint32]  # [4, 4] pixels in each cell
    half: npt.NDArray[np.uint32]  # of them
    kind: type[np.uint16 | np.uint32]  # holds the sum of a cell's column; the narrower is faster


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> _Grid:
    rows, columns = ([i * side // SIDE for i in range(SIDE + 1)] for side in (height, width))
    counts = np.outer(np.diff(rows), np.diff(columns)).astype(np.uint32)
    narrow = 255 * max(np.diff(rows)) < 1 << 16
    return _Grid(
        rows=rows,
        columns=columns[:-1],
        counts=counts,
        half=counts // 2,
        kind=np.uint16 if narrow else np.uint32,
    )


def sketch_distance(one: Bytes, other: Bytes) -> Bytes:
    """uint8 [N]: the largest difference of a cell between sketches uint8 [N, 16] of N images."""
    distance: Bytes = (np.maximum(one, other) - np.minimum(one, other)).max(axis=1, initial=0)
    return distance
