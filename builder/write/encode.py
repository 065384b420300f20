"""Pixels into the image member of a sample: grey JPEG, or lossless PNG → bytes."""

import struct

import numpy as np
import simplejpeg
from deflate import crc32, zlib_compress

from builder.contract import Bytes, ImageSpec

_UP = 2  # the PNG filter: each row minus the one above it
_LEVEL = 1  # the fastest of libdeflate; higher ones save less than a tenth of a radiograph's bytes


def encode(pixels: Bytes, image: ImageSpec) -> bytes:
    """The image member of uint8 [H, W] pixels: grey JPEG at the spec's quality, or PNG."""
    if image.codec == "png":
        return _png(pixels)
    data: bytes = simplejpeg.encode_jpeg(
        pixels[:, :, None], quality=image.quality, colorspace="GRAY", colorsubsampling="Gray"
    )
    return data


def _png(pixels: Bytes) -> bytes:
    """An 8-bit grey PNG with one filter for all rows (PNG specification, 9.2), by libdeflate.

    Neighbouring rows of a radiograph are similar, so their differences pack well without much
    search: 5 times Pillow's speed for 64 pixels and 19 times for 224, with a tenth more bytes. A
    recipe has one result, so the bytes must not depend on the processor. One version of libdeflate
    is meant to give the same on each (its issue 400). ISA-L's differ with and without AVX2.
    """
    height, width = pixels.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # grey, not interlaced
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib_compress(rows, _LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes | bytearray) -> bytes:
    checksum = crc32(data, crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
