"""Traces of how an image was made, whatever it shows: sharpness, codec, borders, grey levels.

A classifier can take such traces for the pathology, if only the synthetic images bear them. There
are a dozen simple ones, which a reader can follow, and finer ones for the probe.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.audit.features import Extractor, Floats
from builder.contract import Bytes
from builder.contract.cores import usable_cores

SIMPLE = {  # name: what it is
    "sharpness": "variance of the Laplacian",
    "high_frequencies": "share of the spectrum's power above half of the highest frequency",
    "block_borders": "mean step across JPEG's block borders by that within blocks",
    "noise": "standard deviation of noise, by Immerkaer 1996, in grey values",
    "mean_grey": "in grey values",
    "contrast": "standard deviation in grey values",
    "border_grey": "mean of the outermost rows and columns",
    "constant_border": "share of rows and columns of one grey value, counted from the edges",
    "grey_levels": "how many of the 256 are in the image",
    "missing_levels": "share of levels between the darkest and the brightest that are not there",
    "black": "share of pixels of value 0",
    "white": "share of pixels of value 255",
}
_WINDOW = 256  # pixels at most of each side, from the middle, for spectra and blocks
_BLOCK = 8  # pixels, of JPEG
_PIXELS = 2**18  # that are looked at together

_Images = npt.NDArray[np.float32]  # [n, H, W]
_Table = npt.NDArray[np.floating[Any]]  # [n, D]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """An image's traces and the features of another extractor side by side."""

    of: Extractor

    @property
    def identity(self) -> str:
        """What they are."""
        return (
            f"{len(SIMPLE)} properties and the spectrum of blocks of 8×8 pixels; {self.of.identity}"
        )

    def __call__(self, images: Bytes) -> Floats:
        """float32 [n, D] of uint8 [n, H, W]."""
        return np.hstack([traces_of(images), self.of(images)])


def simple_of(features: Floats) -> Floats:
    """float32 [n, 12]: the columns of SIMPLE in the features that `Traced` made."""
    return features[:, : len(SIMPLE)]


def traces_of(images: Bytes) -> Floats:
    """float32 [n, D] of uint8 [n, H, W]: first those of SIMPLE, in order, then finer ones."""
    height, width = (max(_BLOCK, side) for side in images.shape[1:])
    pad = ((0, 0), (0, height - images.shape[1]), (0, width - images.shape[2]))
    images = np.pad(images, pad, "edge") if max(pad) > (0, 0) else images
    size = max(1, _PIXELS // (height * width))
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    with ThreadPoolExecutor(usable_cores()) as threads:
        return np.concatenate(list(threads.map(_traces, parts)))


def _traces(images: Bytes) -> Floats:
    middle = _middle(images).astype(np.float32)
    steps = [_steps(middle), _steps(middle.transpose(0, 2, 1))]
    ratios = [step - step.mean(axis=1, keepdims=True) for step in map(np.log, steps)]
    parts = [_simple(images, middle, steps), *ratios, _spectrum(middle)]
    return np.hstack(parts).astype(np.float32)


def _middle(images: Bytes) -> Bytes:
    """A window of whole blocks of JPEG from the middle of each image."""
    cut = []
    for side in images.shape[1:]:
        blocks = min(side, _WINDOW) // _BLOCK
        start = (side // _BLOCK - blocks) // 2 * _BLOCK
        cut.append(slice(start, start + blocks * _BLOCK))
    return images[:, cut[0], cut[1]]


def _simple(images: Bytes, middle: _Images, steps: list[_Images]) -> _Table:
    """[n, 12]: one column of each in SIMPLE."""
    count, pixels = len(images), images[0].size
    greys = np.arange(256)
    places = images.reshape(count, -1) + 256 * np.arange(count)[:, None]
    shares = np.bincount(places.ravel(), minlength=256 * count).reshape(count, 256) / pixels
    there = shares > 0
    levels = there.sum(axis=1)
    span = 256 - np.argmax(there, axis=1) - np.argmax(there[:, ::-1], axis=1)
    mean = shares @ greys
    edges = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])
    borders = _constant(images) + _constant(images.transpose(0, 2, 1))
    across = steps[0][:, -1] + steps[1][:, -1]
    within = steps[0][:, :-1].mean(axis=1) + steps[1][:, :-1].mean(axis=1)
    found = {
        "sharpness": _laplacian(middle).reshape(count, -1).var(axis=1, dtype=float),
        "high_frequencies": _high(middle),
        "block_borders": across / within,
        "noise": _noise(middle),
        "mean_grey": mean,
        "contrast": np.sqrt(np.maximum(shares @ greys**2 - mean**2, 0)),
        "border_grey": np.hstack(edges).mean(axis=1, dtype=float),
        "constant_border": borders / sum(images.shape[1:]),
        "grey_levels": levels,
        "missing_levels": 1 - levels / span,
        "black": shares[:, 0],
        "white": shares[:, 255],
    }
    return np.stack([found[name] for name in SIMPLE], axis=1)


def _laplacian(images: _Images) -> _Images:
    around = images[:, :-2, 1:-1] + images[:, 2:, 1:-1] + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    return around - 4 * images[:, 1:-1, 1:-1]


def _noise(images: _Images) -> _Table:
    """Immerkaer 1996: what a mask that flat and ramp regions do not excite leaves."""
    rows = images[:, :-2] - 2 * images[:, 1:-1] + images[:, 2:]
    mask = rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
    size = np.abs(mask).reshape(len(images), -1).mean(axis=1, dtype=float)
    return np.asarray(np.sqrt(np.pi / 2) / 6 * size)


def _high(images: _Images) -> _Table:
    """The share of power, the mean left out, at frequencies above a quarter cycle a pixel."""
    from scipy.fft import rfft2

    power = np.abs(rfft2(images - images.mean(axis=(1, 2), keepdims=True))) ** 2
    rows, columns = np.fft.fftfreq(images.shape[1]), np.fft.rfftfreq(images.shape[2])
    high = np.hypot(rows[:, None], columns) > 0.25
    total = power.reshape(len(images), -1).sum(axis=1, dtype=float)
    return np.asarray(power[:, high].sum(axis=1, dtype=float) / np.maximum(total, 1e-9))


def _constant(images: Bytes) -> npt.NDArray[np.int64]:
    """[n]: how many rows from the first and from the last on have one value each."""
    varied = images.max(axis=2) != images.min(axis=2)
    found = np.argmax(varied, axis=1) + np.argmax(varied[:, ::-1], axis=1)
    return np.asarray(np.where(varied.any(axis=1), found, images.shape[1]), np.int64)


def _steps(images: _Images) -> _Images:
    """[n, 8]: the mean step from each row of a block to the next; the last one crosses over."""
    sizes = np.abs(np.diff(images, axis=1, append=images[:, -1:])).mean(axis=2)
    blocks = sizes.reshape(len(images), -1, _BLOCK)
    means = blocks.mean(axis=1)
    if blocks.shape[1] > 1:  # the image's last row has no next one
        means[:, -1] = blocks[:, :-1, -1].mean(axis=1)
    return np.asarray(means + np.float32(0.1))  # flat images have no steps


def _spectrum(images: _Images) -> _Table:
    """[n, 126]: of each frequency in JPEG's blocks, its log power and how often it is absent.

    Coding leaves no coefficient between zero and its quantum.
    """
    from scipy.fft import dctn

    rows, columns = (side // _BLOCK for side in images.shape[1:])
    blocks = images.reshape(-1, rows, _BLOCK, columns, _BLOCK).transpose(0, 1, 3, 2, 4)
    waves = dctn(blocks, axes=(3, 4), norm="ortho")
    waves = waves.reshape(len(images), rows * columns, _BLOCK**2)[:, :, 1:]
    power = np.log((waves**2).mean(axis=1) + 0.01)
    return np.hstack([power, (np.abs(waves) < 1).mean(axis=1)])
