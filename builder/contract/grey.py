"""A PNG, JPEG or TIFF file into 8-bit greys, upright; what cannot be read rightly is refused."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from builder.contract.png import Bytes

MAX_PIXELS = 89_478_485  # more than any radiograph has; Pillow's own limit
TOO_MANY = "more pixels than any radiograph has"
FORMATS = ("PNG", "JPEG", "TIFF")

_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")  # what Pillow makes grey by itself
_SEE_THROUGH = ("LA", "La", "PA", "RGBA", "RGBa")
_METADATA = (b"\xff\xe1", b"\xff\xe2")  # of JPEG: EXIF, XMP, several images in one file
_WHITE_IS_ZERO, _BITS, _PHOTOMETRIC = 0, 258, 262  # of TIFF 6.0, section 8


def read_picture(file: Path, depth: int | None) -> Bytes:
    """uint8 [H, W] of the file as it is meant to be seen, transparent parts on black.

    `depth` is how many bits a 16-bit file uses. ValueError says what is wrong; damaged bytes may
    raise whatever Pillow raises, UnidentifiedImageError where the file is of another format.
    """
    data = file.read_bytes()
    if (grey := _plain_jpeg(data)) is not None:
        return grey
    # By its path, Pillow maps an uncompressed TIFF into memory, wrongly where it is to be turned.
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(TOO_MANY)
        if (count := getattr(picture, "n_frames", 1)) > 1:
            raise ValueError(f"{count} images in one {picture.format} file: one is expected")
        halved = any(";16" in str(tile[3]) for tile in picture.tile)  # if Pillow drops low bytes
        ImageOps.exif_transpose(picture, in_place=True)
        if picture.mode.startswith("I"):
            return _sixteen_bit(picture, depth)
        grey = _eight_bit(picture)
        if halved:
            _check_full_range(grey, depth)
        return grey


def scale(depth: int) -> Bytes:
    """uint8 [2 ** depth]: the 8-bit grey of every value of that many bits, rounded."""
    most = (1 << depth) - 1
    return ((np.arange(most + 1) * 510 + most) // (2 * most)).astype(np.uint8)


def check_depth(values: npt.NDArray[np.integer], depth: int | None, *, signed: bool = False) -> int:
    """The bits that 16-bit values use; ValueError where that is in doubt, or wrong.

    A file that leaves the upper half of its range empty may hold fewer bits than it could; one
    whose pixels are all the same is refused elsewhere, for what it is.
    """
    darkest, brightest = int(values.min()), int(values.max())
    needed = max(brightest, ~darkest).bit_length() + signed
    if depth is None:
        if needed < 16 and darkest < brightest:
            guess = max(8, needed)
            raise ValueError(
                f"brightest {brightest} of {0xFFFF >> signed}: {guess}-bit data? say"
                f" --depth {guess}, or --depth 16 for the full range"
            )
        return 16
    if needed > depth:
        found = f"values from {darkest} to {brightest}" if signed else f"brightest {brightest}"
        raise ValueError(f"{found}: more than --depth {depth} holds")
    return depth


def _plain_jpeg(data: bytes) -> Bytes | None:
    """uint8 [H, W] of a whole grey JPEG without any metadata, a quarter faster than by Pillow.

    None where Pillow must see it; the pixels are the same.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    head = data[: data.find(b"\xff\xda")]  # up to the scan
    if any(marker in head for marker in _METADATA):
        return None
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours != "Gray" or height * width > MAX_PIXELS:
            return None
        grey: Bytes = simplejpeg.decode_jpeg(data, "GRAY")[:, :, 0]
    except ValueError:  # it is damaged; Pillow says how
        return None
    return grey


def _sixteen_bit(picture: Image.Image, depth: int | None) -> Bytes:
    """uint8 [H, W] of one channel of 16 bits, or of a TIFF that says it has 12."""
    tags: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    values: npt.NDArray[np.integer] = np.asarray(picture)
    darkest, brightest = int(values.min()), int(values.max())
    if darkest < 0 or brightest > 0xFFFF:
        raise ValueError(f"values from {darkest} to {brightest}: 16-bit greys are expected")
    if "transparency" in picture.info:
        values = np.where(values == picture.info["transparency"], 0, values)
    if tags.get(_BITS) == (12,):
        depth = 12
    table = scale(check_depth(values, depth))
    grey: Bytes = (255 - table if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else table)[values]
    return grey


def _eight_bit(picture: Image.Image) -> Bytes:
    """uint8 [H, W] of any picture of 8 bits a channel, or fewer."""
    mode = picture.mode
    if mode not in (*_PLAIN, *_SEE_THROUGH):
        what = "32-bit floating-point values" if mode == "F" else f"pixels of the kind {mode}"
        raise ValueError(f"{what} have no known grey: save 8-bit or 16-bit grey")
    if mode in _SEE_THROUGH or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.new("RGB", picture.size)
        picture.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(picture.convert("L"))


def _check_full_range(grey: Bytes, depth: int | None) -> None:
    """Refuse 16-bit colours or transparency that may use fewer bits: the low ones are lost."""
    if depth not in (None, 16):
        raise ValueError(f"16 bits of colour or transparency: --depth {depth} is for greys alone")
    if depth is None and grey.min() < grey.max() < 128:
        raise ValueError(
            f"16 bits of colour or transparency, brightest {grey.max()} of 255: save 16-bit grey,"
            " or say --depth 16 for the full range"
        )
