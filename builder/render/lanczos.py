"""Many images resized at once, to the bit as Pillow's Lanczos does it for each → uint8.

On a GPU a resize is two matrix products. Pillow (src/libImaging/Resample.c) has integer weights of
22 bits, sums rows of integers, rounds and clips, then does the same with columns. All its sums are
below 2^53, so float64 holds them without rounding, in whatever order they are added. On a CPU the
few weights that are not 0 cost less than dense products, so there Pillow itself does it.
"""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from builder.contract import Bytes
from builder.contract.radiograph import resize

if TYPE_CHECKING:
    from torch import Tensor

_LOBES = 3.0  # pixels on each side of the centre that the filter sees
_BITS = 22  # of a weight's fraction
_BANDS = 4  # images that Pillow resizes as the bands of one: a quarter less work than one by one


def resize_block(images: Bytes, size: int) -> Bytes:
    """uint8 [N, size, size] of uint8 [N, H, W]: `resize` of each."""
    if images.shape[1:] == (size, size):
        return images
    small = np.empty((len(images), size, size), np.uint8)
    whole = len(images) - len(images) % _BANDS
    for start in range(0, whole, _BANDS):
        bands = [Image.fromarray(image) for image in images[start : start + _BANDS]]
        four = Image.merge("CMYK", bands).resize((size, size), Image.Resampling.LANCZOS)
        small[start : start + _BANDS] = np.asarray(four).transpose(2, 0, 1)
    for place in range(whole, len(images)):
        small[place] = resize(images[place], size)
    return small


def resize_on_device(images: "Tensor", size: int) -> "Tensor":
    """uint8 [N, size, size] of uint8 [N, H, W] on the images' device: `resize` of each."""
    height, width = images.shape[1:]
    if (height, width) == (size, size):
        return images
    across = _matrix(width, size, str(images.device))
    down = _matrix(height, size, str(images.device))
    rows = _greys(images.double() @ across.T)
    return _greys(down @ rows).byte()


def weights(side: int, size: int) -> npt.NDArray[np.float64]:
    """float64 [size, side]: Pillow's integer weights over 2^22 for `size` of `side` pixels."""
    scale = side / size
    stretch = max(scale, 1.0)
    reach = _LOBES * stretch
    out = np.zeros((size, side))
    for place in range(size):
        centre = (place + 0.5) * scale
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), side)
        inverse = 1.0 / stretch
        taps = [_lanczos((x - centre + 0.5) * inverse) for x in range(first, last)]
        total = 0.0
        for tap in taps:
            total += tap
        for x, tap in zip(range(first, last), taps, strict=True):
            part = tap / total * 2**_BITS
            out[place, x] = int(part - 0.5 if part < 0 else part + 0.5)
    out /= 2**_BITS
    return out


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / _LOBES) if -_LOBES <= x < _LOBES else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


@lru_cache(maxsize=8)
def _matrix(side: int, size: int, device: str) -> "Tensor":
    import torch

    return torch.from_numpy(weights(side, size)).to(device)


def _greys(sums: "Tensor") -> "Tensor":
    """Whole greys in float64, in place: halves up, as a shift of integers rounds."""
    return sums.add_(0.5).floor_().clamp_(0, 255)
