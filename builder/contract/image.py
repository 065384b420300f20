"""Geometry and codec of a dataset's images, and one image member into its pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from builder.contract.png import Bytes, decode_png

MAX_SIDE = 4096  # pixels
MAX_SCANS = 24  # of a JPEG; a progressive one of greys has ten

# Markers of JPEG (ITU-T T.81, table B.1): of sequential frames, and of what may stand before one.
_SEQUENTIAL = (0xC0, 0xC1)
_BEFORE_FRAMES = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)

Codec = Literal["jpg", "png"]
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """Geometry and codec of every image in a dataset: 8-bit grey, `height` × `width` pixels."""

    height: Side
    width: Side
    codec: Codec
    quality: Annotated[int, Meta(ge=0, le=100)]  # of JPEG; 0 where the codec is lossless

    @property
    def max_bytes(self) -> int:
        """The largest image member that is accepted: noise at JPEG quality 100 stays below it."""
        return 2 * self.height * self.width + 4096


def decode_image(data: bytes, image: ImageSpec) -> Bytes:
    """uint8 [H, W] pixels of one image member; ValueError if it is no image.

    The size in the header is checked before any pixel is decoded.
    """
    pixels = np.empty((image.height, image.width), np.uint8)
    image_decoder(image)(data, pixels)
    return pixels


@lru_cache(maxsize=8)
def image_decoder(image: ImageSpec) -> Callable[[bytes, Bytes], object]:
    """The function behind `decode_image`, for many members: (data, out) fills out, uint8 [H, W].

    `out` must be C-contiguous. Any number of threads may call it at once.
    """
    shape = (image.height, image.width)
    if image.codec == "png":
        return lambda data, out: decode_png(data, shape, out)
    from simplejpeg import decode_jpeg

    seen = b"none yet"  # a frame header that was checked, with all that is before it

    def decode(data: bytes, out: Bytes) -> None:
        nonlocal seen
        if not data.startswith(seen):  # an encoder begins all images of one size alike
            check_scans(data)
            _check_header(data, shape)
            seen = _sequential_header(data) or seen
        decode_jpeg(data, "GRAY", buffer=out)

    return decode


def check_scans(data: bytes) -> None:
    """ValueError where a JPEG has more scans than any: each of some 60 bytes takes as long as all.

    Two bytes 0xff 0xda are never part of the pixels (ITU-T T.81, B.1.1.5).
    """
    if data.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError(f"it has more than {MAX_SCANS} scans")


def _check_header(data: bytes, shape: tuple[int, int]) -> None:
    """ValueError unless it is the header of a grey JPEG of that shape."""
    import simplejpeg

    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    if (height, width) != shape or colours.lower() != "gray":
        found = f"{height}×{width} {colours}"
        raise ValueError(f"found {found}, expected {shape[0]}×{shape[1]} 8-bit grey")


def _sequential_header(data: bytes) -> bytes:
    """A JPEG up to the end of its frame header, where its greys come in one scan; else nothing.

    A decoder that reads these bytes knows size and colours, whatever follows them: it refuses a
    second frame header, and a second scan of a single colour.
    """
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
        if kind in _SEQUENTIAL:
            return data[:place]
        if kind not in _BEFORE_FRAMES:
            break
    return b""
