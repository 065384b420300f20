"""The file of a radiograph into the pixels to seal: one reader for packing and prediction."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from builder.contract.png import Bytes

# For the whole process: threads share the filters, so they cannot change for one call only.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


Window = Literal["dicom", "full", "percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the greys of image files are read; one rule for a whole dataset, kept in its recipe."""

    depth: int | None = None  # bits of grey in 16-bit files, 8 to 16; None: full range, or refused
    window: Window = "dicom"  # of DICOM files: the file's own, all stored greys, or 99 % of them
    upsample: bool = False  # whether images smaller than the size asked for are enlarged


@dataclass(frozen=True, slots=True, kw_only=True)
class BadImage:
    """An image that cannot be used, in place of its pixels."""

    image: str  # its path as given, or below the root
    reason: str


def read_radiograph(file: Path, image_size: int, reading: Reading) -> Bytes:
    """uint8 [image_size, image_size]: grey, centre crop to a square, Lanczos.

    ValueError says why the file cannot be used.
    """
    if not file.is_file():
        raise ValueError("missing")
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as picture:
            grey = _eight_bit(picture)
    except UnidentifiedImageError:
        raise ValueError("neither PNG nor JPEG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("more pixels than any radiograph has") from None
    except (OSError, SyntaxError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    height, width = grey.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(np.ascontiguousarray(grey[top : top + side, left : left + side]), image_size)
    if square.min() == square.max():
        raise ValueError("every pixel is the same")
    return square


def resize(image: Bytes, size: int) -> Bytes:
    """uint8 [size, size] by Lanczos with antialiasing; the image itself if it has that size."""
    if image.shape == (size, size):
        return image
    small = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _eight_bit(picture: Image.Image) -> Bytes:
    """uint8 [H, W]; 16-bit greys are scaled by their full range, which convert("L") would clip."""
    if picture.mode.startswith("I"):
        return (np.asarray(picture).astype(np.float32) / 257.0 + 0.5).clip(0, 255).astype(np.uint8)
    return np.asarray(picture.convert("L"))
