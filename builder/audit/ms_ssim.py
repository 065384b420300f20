"""MS-SSIM: how alike two images are, by structure at three scales; 1 for equal images.

Wang, Simoncelli & Bovik 2003, with windows of 7×7 pixels and the first three of its five weights,
since the fifth scale of an image of 64 pixels has 4: as torchmetrics computes it with
`gaussian_kernel=False, kernel_size=7, normalize="relu"`.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from builder.audit.chance import Reals
from builder.contract import Bytes

WINDOW = 7  # pixels
MIN_SIDE = 28  # pixels: below that, a window does not fit into the coarsest scale
_WEIGHTS = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """Images at one scale, with what SSIM takes of each alone."""

    images: Reals  # [n, H, W]
    mean: Reals  # [n, H, W], of the window around each pixel
    variance: Reals  # [n, H, W]


def scales(images: Bytes) -> list[Scaled]:
    """Images uint8 [n, H, W] at three scales; their sides have at least MIN_SIDE pixels."""
    found, scaled = [], images.astype(np.float64)
    for _ in _WEIGHTS:
        mean = _local(scaled)
        variance = np.maximum(_local(scaled * scaled) - mean * mean, 0)
        found.append(Scaled(scaled, mean, variance))
        scaled = _halved(scaled)
    return found


def ms_ssim(some: list[Scaled], others: list[Scaled]) -> Reals:
    """float64 [n] in [0, 1], of pairs of images."""
    found = np.ones(len(some[0].images))
    for scale, (x, y) in enumerate(zip(some, others, strict=True)):
        whole, structure = _ssim(x, y)
        last = scale == len(_WEIGHTS) - 1
        found *= np.maximum(whole if last else structure, 0) ** _WEIGHTS[scale]
    return found


def _ssim(x: Scaled, y: Scaled) -> tuple[Reals, Reals]:
    """[n] of SSIM, and of its part without brightness, which leaves out what borders are in."""
    means = x.mean * y.mean
    structure = 2 * (_local(x.images * y.images) - means) + _C2
    structure /= x.variance + y.variance + _C2
    light = (2 * means + _C1) / (x.mean * x.mean + y.mean * y.mean + _C1)
    inner = slice(WINDOW // 2, -(WINDOW // 2))
    return (light * structure).mean(axis=(1, 2)), structure[:, inner, inner].mean(axis=(1, 2))


def _local(images: Reals) -> Reals:
    """Means of windows, the images mirrored at their edges."""
    means: Reals = uniform_filter(images, size=(1, WINDOW, WINDOW), mode="mirror")
    return means


def _halved(images: Reals) -> Reals:
    """Means of 2×2 pixels; an odd row or column at the end is left out."""
    _, height, width = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    means: Reals = even.reshape(len(images), height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    return means
