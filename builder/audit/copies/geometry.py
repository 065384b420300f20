"""Places in images: smoothing, and grey values between the pixels of many images at once."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from builder.audit.pictures import resized
from builder.contract import Bytes

SIDE = 64  # pixels a side of what is compared; smaller images are enlarged to it

Floats = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def squared(images: Bytes) -> Bytes:
    """uint8 [n, 64, 64] of [n, H, W]: the same, if they have that size."""
    if images.shape[1:] == (SIDE, SIDE):
        return images
    found = [resized(image, SIDE, SIDE, "BILINEAR") for image in images]
    return np.array(found, np.uint8).reshape(-1, SIDE, SIDE)


def smooth(images: Floats, sigma: float, side: int = SIDE) -> Floats:
    """float32 [n, side, side] of [n, 64, 64]: a Gaussian, then means of pixels."""
    by = _smoother(sigma, side)
    smoothed = by @ images @ by.T
    return smoothed.astype(np.float32, copy=False)


@lru_cache(maxsize=16)
def _smoother(sigma: float, side: int) -> Floats:
    by = ndimage.gaussian_filter1d(np.eye(SIDE), sigma, axis=0, mode="nearest")
    means: Reals = by.reshape(side, SIDE // side, SIDE).mean(axis=1)
    return means.astype(np.float32)


def sample(images: Floats, rows: Rows, maps: Reals, places: Floats) -> tuple[Floats, Mask]:
    """Grey values float32 [P, n] where `maps` [P, 2, 3] send places [2, n], and which are inside.

    `images` [N, S, S] may be coarser than 64 pixels; places are in those, from the middle. Row p
    is of image `rows[p]`. Bilinear; what lies within half a pixel of the border is outside.
    """
    side = images.shape[1]
    moves = maps.astype(np.float32)
    moves, middle = moves * np.float32(side / SIDE), np.float32((side - 1) / 2)
    down = moves[:, 0, :1] * places[0] + moves[:, 0, 1:2] * places[1] + (moves[:, 0, 2:] + middle)
    right = moves[:, 1, :1] * places[0] + moves[:, 1, 1:2] * places[1] + (moves[:, 1, 2:] + middle)
    low, high = np.float32(0.5), np.float32(side - 1.5)
    inside = (down >= low) & (down <= high) & (right >= low) & (right <= high)
    np.clip(down, 0, side - 1.001, out=down)
    np.clip(right, 0, side - 1.001, out=right)
    i, j = down.astype(np.int32), right.astype(np.int32)
    down -= i
    right -= j
    near = rows[:, None] * side**2 + (i * side + j)
    flat = images.reshape(-1)
    above = flat[near]
    above += (flat[near + 1] - above) * right
    below = flat[near + side]
    below += (flat[near + side + 1] - below) * right
    below -= above
    below *= down
    above += below
    return above, inside


def standardised(values: Floats, weights: Floats) -> Floats:
    """Rows [P, n] with mean 0 and length 1 over the places that count; 0 at the others."""
    count = np.maximum(weights.sum(axis=-1, keepdims=True), np.float32(1))
    mean = (values * weights).sum(axis=-1, keepdims=True) / count
    centred = (values - mean) * weights
    length = np.sqrt(np.square(centred).sum(axis=-1, keepdims=True))
    result: Floats = np.divide(centred, np.maximum(length, np.float32(1e-3)), dtype=np.float32)
    return result
