"""How similar two radiographs are: the correlation of their reductions, and of their pixels.

Sums are of whole numbers, which floats hold exactly in any order. So a correlation has the same
bits on every processor, for any number of threads and of images at a time, and a threshold gives
the same verdict.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from builder.contract import Bytes

Greys = npt.NDArray[np.float32]  # whole numbers
Reals = npt.NDArray[np.float64]

# Pixels on a side: anatomy and pose without noise. A sum of 256 products of two greys is at most
# 16,646,400, below 2**24: with more pixels, float32 would round.
_THUMB = 16


@dataclass(frozen=True, slots=True)
class Thumbs:
    """Reductions of N images, with what a correlation needs of each."""

    greys: Greys  # [N, 256], 0 to 255
    sums: Reals  # [N]
    lengths: Reals  # [N], as of `_length`

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_]) -> "Thumbs":
        """Those of some of the images."""
        return Thumbs(self.greys[rows], self.sums[rows], self.lengths[rows])


def reductions(images: Bytes) -> Greys:
    """float32 [N, 256]: 16×16 reductions of uint8 [N, H, W], by boxes, in whole greys."""
    size = (_THUMB, _THUMB)
    small = [
        np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images
    ]
    return np.stack(small).reshape(len(small), -1).astype(np.float32)


def thumbs(greys: Greys) -> Thumbs:
    """The reductions with their sums and lengths."""
    sums = greys.sum(axis=1, dtype=np.float64)
    squares = np.einsum("ij,ij->i", greys, greys, dtype=np.float64)
    return Thumbs(greys, sums, _length(sums, squares, greys.shape[1]))


def correlations(ours: Thumbs, theirs: Thumbs) -> Reals:
    """float64 [N, M]: of each image with each; 0 with a constant one."""
    products = (ours.greys @ theirs.greys.T).astype(np.float64)
    products *= _THUMB**2
    products -= np.outer(ours.sums, theirs.sums)
    return _over(products, np.outer(ours.lengths, theirs.lengths))


def pixel_correlations(ours: Bytes, theirs: Bytes) -> Reals:
    """float64 [N]: of each image with the one in its place, both uint8 [N, H, W]."""
    x, y = (images.reshape(len(images), -1) for images in (ours, theirs))
    (sum_x, sum_y), count = (rows.sum(axis=1, dtype=np.float64) for rows in (x, y)), x.shape[1]
    xx, xy, yy = (
        np.einsum("ij,ij->i", a, b, dtype=np.int64).astype(np.float64)
        for a, b in ((x, x), (x, y), (y, y))
    )
    lengths = _length(sum_x, xx, count) * _length(sum_y, yy, count)
    return _over(count * xy - sum_x * sum_y, lengths)


def _length(sums: Reals, squares: Reals, count: int) -> Reals:
    """Of each image less its mean, times the root of its number of pixels."""
    lengths: Reals = np.sqrt(count * squares - sums * sums)
    return lengths


def _over(products: Reals, lengths: Reals) -> Reals:
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
