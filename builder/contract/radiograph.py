"""The file of a radiograph into the pixels to seal: one reader for packing and prediction."""

import ctypes
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import numpy as np
from PIL import Image, UnidentifiedImageError, _imaging

from builder.contract.dicom import Window, is_dicom, read_dicom
from builder.contract.errors import printable
from builder.contract.grey import TOO_MANY, read_picture
from builder.contract.png import Bytes

__all__ = ["BadImage", "Reading", "Window", "read_radiograph", "resize"]

# For the whole process: threads share the filters, so they cannot change for one call only. What
# Pillow and pydicom warn of is in the metadata; too many pixels are refused without their help.
for _module in (r"PIL\.", r"pydicom(\.|$)"):
    warnings.filterwarnings("ignore", module=_module)
# libtiff prints what Pillow then raises, which would make two lines of one refusal.
with suppress(AttributeError, OSError):  # there is none, or it is a part of Pillow's own file
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


_NO_IMAGE = "neither PNG, JPEG, TIFF nor DICOM"


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
    """uint8 [image_size, image_size]: grey, upright, centre crop to a square, Lanczos.

    ValueError says why the file cannot be used.
    """
    try:
        if not S_ISREG(file.stat().st_mode):
            raise FileNotFoundError
        grey = _read(file, reading)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("missing") from None
    except UnidentifiedImageError:
        empty = not file.stat().st_size
        raise ValueError("the file is empty" if empty else _NO_IMAGE) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(TOO_MANY) from None
    except Exception as error:  # decoders raise anything where bytes are damaged
        told = error.strerror if isinstance(error, OSError) else None  # without the path
        words = " ".join((told or str(error)).split()) or type(error).__name__
        words = words.replace("decoder error", "damaged pixels, error")  # Pillow's words for TIFF
        raise ValueError(printable(words, 200)) from None
    height, width = grey.shape
    side = min(height, width)
    if side < image_size and not reading.upsample:
        raise ValueError(
            f"{height}×{width} pixels, smaller than {image_size}: build with a smaller"
            " --image-size, or enlarge by --upsample"
        )
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


def _read(file: Path, reading: Reading) -> Bytes:
    """uint8 [H, W] of the whole image."""
    if is_dicom(file):
        return read_dicom(file, depth=reading.depth, window=reading.window)
    return read_picture(file, reading.depth)
