"""A PNG, JPEG or TIFF file into 8-bit greys, upright; what cannot be read rightly is refused."""

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from builder.contract.image import check_scans
from builder.contract.jpeg import check_jpeg, jpeg_pixels
from builder.contract.png import Bytes

MAX_PIXELS = 50_000_000  # more than any radiograph has: a chest at 60 micrometres
TOO_MANY = "more pixels than any radiograph has"
FORMATS = ("PNG", "JPEG", "TIFF")

_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")  # what Pillow makes grey by itself
_SEE_THROUGH = ("LA", "La", "PA", "RGBA", "RGBa")
_JPEG = b"\xff\xd8\xff"
_METADATA = (b"\xff\xe1", b"\xff\xe2")  # of JPEG: EXIF, XMP, several images in one file
_LARGE = 64 << 20  # bytes of a file that is not read before its header was
_PIXEL_BYTES = 8  # of the widest kind of pixel, four channels of 16 bits
_STRIP = 1 << 20  # pixels that are worked on together: an image is copied once, at 8 bits
_MAX_FRAMES = 100
_WHITE_IS_ZERO, _BITS, _PHOTOMETRIC = 0, 258, 262  # of TIFF 6.0, section 8
_COMPRESSION, _JPEG_PARTS, _JPEG_TABLES = 259, 7, 347  # of TIFF Technical Note 2
_PARTS = ((273, 279), (324, 325))  # where strips and tiles begin, and their bytes
_LAYERS = 4  # of colour, each of which may be a JPEG of its own


def read_picture(file: Path, depth: int | None) -> Bytes:
    """uint8 [H, W] of the file as it is meant to be seen, transparent parts on black.

    `depth` is how many bits a 16-bit file uses. ValueError says what is wrong; damaged bytes may
    raise whatever Pillow raises, UnidentifiedImageError where the file is of another format.
    """
    _check_size(file)
    data = file.read_bytes()
    if data.startswith(_JPEG):
        check_scans(data)
    if (grey := _plain_jpeg(data)) is not None:
        return grey
    # By its path, Pillow maps an uncompressed TIFF into memory, wrongly where it is to be turned.
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(TOO_MANY)
        if (count := _frames(picture)) > 1:
            raise ValueError(f"{count} images in one {picture.format} file: one is expected")
        for part in _jpeg_parts(data, picture):
            check_jpeg(part)
        halved = any(";16" in str(tile[3]) for tile in picture.tile)  # if Pillow drops low bytes
        ImageOps.exif_transpose(picture, in_place=True)
        if picture.mode.startswith("I"):
            return _sixteen_bit(picture, depth)
        grey = _eight_bit(picture)
        if halved:
            _check_full_range(grey, depth)
        return grey


def _check_size(file: Path) -> None:
    """ValueError where a file has far more bytes than its pixels need, before it is read."""
    if (size := file.stat().st_size) <= _LARGE:
        return
    with Image.open(file, formats=FORMATS) as picture:
        pixels = picture.width * picture.height
    if pixels > MAX_PIXELS:
        raise ValueError(TOO_MANY)
    if size > _PIXEL_BYTES * pixels + _LARGE:
        raise ValueError(f"its {pixels:,} pixels are stored in {size:,} bytes")


def _frames(picture: Image.Image) -> int:
    """How many images the file has, at most _MAX_FRAMES of a TIFF: each of them is looked for."""
    if picture.format != "TIFF":
        return int(getattr(picture, "n_frames", 1))
    count = 1
    with suppress(EOFError):
        while count < _MAX_FRAMES:
            picture.seek(count)
            count += 1
    picture.seek(0)
    return count


def _jpeg_parts(data: bytes, picture: Image.Image) -> Iterator[bytes]:
    """The JPEG of a file, or those of a TIFF's strips or tiles, whose damage Pillow does not see.

    ValueError where they have more pixels than a picture may have.
    """
    tags: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    if data.startswith(_JPEG):
        yield data
    elif tags.get(_COMPRESSION) == _JPEG_PARTS:
        tables, pixels = tags.get(_JPEG_TABLES, b""), 0
        for begins, sizes in _PARTS:
            for begin, size in zip(tags.get(begins, ()), tags.get(sizes, ()), strict=False):
                part = data[begin : begin + size]
                part = tables[:-2] + part[2:] if tables else part
                check_scans(part)
                pixels += jpeg_pixels(part)
                if pixels > _LAYERS * MAX_PIXELS:
                    raise ValueError(TOO_MANY)
                yield part


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
    if not data.startswith(_JPEG):
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
    except ValueError:  # if it is damaged, check_jpeg says how
        return None
    return grey


def _sixteen_bit(picture: Image.Image, depth: int | None) -> Bytes:
    """uint8 [H, W] of one channel of 16 bits, or of a TIFF that says it has 12."""
    tags: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    clear = picture.info.get("transparency")

    def values(strip: Image.Image) -> npt.NDArray[np.integer]:
        found: npt.NDArray[np.integer] = np.asarray(strip)
        if found.min() < 0 or found.max() > 0xFFFF:
            span = f"{found.min()} to {found.max()}"
            raise ValueError(f"values from {span}: 16-bit greys are expected")
        return found if clear is None else np.where(found == clear, 0, found)

    strips = (values(strip) for _, strip in _strips(picture))
    limits = np.array([(strip.min(), strip.max()) for strip in strips])
    if tags.get(_BITS) == (12,):
        depth = 12
    table = scale(check_depth(limits, depth))
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        table = 255 - table
    grey = np.empty((picture.height, picture.width), np.uint8)
    for rows, strip in _strips(picture):
        grey[rows] = table[values(strip)]
    return grey


def _eight_bit(picture: Image.Image) -> Bytes:
    """uint8 [H, W] of any picture of 8 bits a channel, or fewer."""
    mode = picture.mode
    if mode not in (*_PLAIN, *_SEE_THROUGH):
        what = "32-bit floating-point values" if mode == "F" else f"pixels of the kind {mode}"
        raise ValueError(f"{what} have no known grey: save 8-bit or 16-bit grey")
    grey = np.empty((picture.height, picture.width), np.uint8)
    for rows, strip in _strips(picture):
        if mode in _SEE_THROUGH or "transparency" in picture.info:
            layer, strip = strip.convert("RGBA"), Image.new("RGB", strip.size)
            strip.paste(layer, mask=layer.getchannel("A"))
        grey[rows] = np.asarray(strip.convert("L"))
    return grey


def _strips(picture: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Some rows at a time, and which they are."""
    step = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, step):
        bottom = min(top + step, picture.height)
        yield slice(top, bottom), picture.crop((0, top, picture.width, bottom))


def _check_full_range(grey: Bytes, depth: int | None) -> None:
    """Refuse 16-bit colours or transparency that may use fewer bits: the low ones are lost."""
    if depth not in (None, 16):
        raise ValueError(f"16 bits of colour or transparency: --depth {depth} is for greys alone")
    if depth is None and grey.min() < grey.max() < 128:
        raise ValueError(
            f"16 bits of colour or transparency, brightest {grey.max()} of 255: save 16-bit grey,"
            " or say --depth 16 for the full range"
        )
