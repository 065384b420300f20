"""An 8-bit grey PNG into its pixels; files of our own writer faster than by Pillow.

Such a file is one header, its pixel data and the end, and every row is stored minus the row above
it (PNG specification, 9.2): one call inflates it, sums of whole rows undo the filter. All others
are left to Pillow, which undoes any filter.
"""

import io
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from builder.contract.errors import printable

Bytes = npt.NDArray[np.uint8]
_Chunk = tuple[bytes, memoryview]  # kind and content

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = (8, 0, 0, 0)  # bits, colour type, deflate, filters
_UP = 2  # the filter of a row that is stored minus the one above it


def decode_png(data: bytes, shape: tuple[int, int], out: Bytes) -> None:
    """Fill `out`, uint8 [H, W] of that shape; ValueError says what is wrong with the file.

    No more bytes are inflated than such an image has; damage is found by the checksums.
    """
    (kind, header), *body = _chunks(data)
    if kind != b"IHDR" or len(header) != 13:
        raise ValueError("it has no PNG header")
    if any(kind == b"IHDR" for kind, _ in body):
        raise ValueError("it has two PNG headers")
    width, height = struct.unpack_from(">II", header)
    if (height, width) != shape:
        raise ValueError(f"found {height}×{width}, expected {shape[0]}×{shape[1]} 8-bit grey")
    _check_kind(header, shape)
    pixels = _plain(header, body, shape)
    out[:] = _by_pillow(header, body, shape) if pixels is None else pixels


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Kind and content of every chunk before the last; ValueError where one is cut or damaged."""
    from deflate import crc32

    if data[:8] != _SIGNATURE:
        raise ValueError("it is not a PNG")
    view, place, kind = memoryview(data), 8, b""
    while kind != b"IEND":
        if place + 12 > len(data):
            raise ValueError("it is cut")
        size, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + size
        if end + 4 > len(data):
            raise ValueError("it is cut")
        if crc32(view[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"its chunk {kind!r} is damaged")
        yield kind, view[place + 8 : end]
        place = end + 4


def _check_kind(header: memoryview, shape: tuple[int, int]) -> None:
    """ValueError unless it is 8-bit grey, stored in the one way that PNG knows."""
    kind, lace = tuple(header[8:12]), header[12]
    if kind != _GREY or lace > 1:
        bits, colour, *_ = kind
        found = f"{shape[0]}×{shape[1]} of {bits} bits and colour type {colour}"
        raise ValueError(f"found {found}, expected {shape[0]}×{shape[1]} 8-bit grey")


def _plain(header: memoryview, body: list[_Chunk], shape: tuple[int, int]) -> Bytes | None:
    """The pixels of a file that our writer may have made; None where Pillow must read it."""
    if header[12] or {kind for kind, _ in body[:-1]} != {b"IDAT"}:
        return None
    rows = _inflate(b"".join(part for _, part in body[:-1]), shape)
    return _add_up(rows) if (rows[:, 0] == _UP).all() else None


def _inflate(data: bytes, shape: tuple[int, int]) -> Bytes:
    """uint8 [H, 1 + W]: the filter of each row and its filtered pixels."""
    from deflate import DeflateError, zlib_decompress

    height, width = shape
    size = height * (width + 1)
    try:
        rows = zlib_decompress(data, size)
    except DeflateError:  # more bytes than that are an error, too
        rows = bytearray()
    if len(rows) != size:
        raise ValueError(f"its pixels are not {height} rows of {width}, or are damaged")
    return np.frombuffer(rows, np.uint8).reshape(height, width + 1)


def _add_up(rows: Bytes) -> Bytes:
    """uint8 [H, W]: each row plus all rows above it, modulo 256.

    Sums of 2, 4, 8 … rows: a few additions of whole images are faster than numpy's running sum,
    and other threads go on meanwhile.
    """
    sums, wider, height = rows.copy(), np.empty_like(rows), 1
    while height < len(rows):
        wider[:height] = sums[:height]
        np.add(sums[height:], sums[:-height], out=wider[height:])
        sums, wider, height = wider, sums, 2 * height
    return sums[:, 1:]


def _by_pillow(header: memoryview, body: list[_Chunk], shape: tuple[int, int]) -> Bytes:
    """The pixels by Pillow, which sees the header and the pixel data and no other chunk."""
    from PIL import Image

    parts = [(b"IHDR", header), *((kind, part) for kind, part in body if kind == b"IDAT")]
    data = b"".join(_chunk(kind, part) for kind, part in (*parts, (b"IEND", memoryview(b""))))
    try:
        with Image.open(io.BytesIO(_SIGNATURE + data), formats=["PNG"]) as picture:
            pixels = np.asarray(picture)
    except Exception as error:  # what Pillow raises where bytes are damaged is no short list
        raise ValueError(printable(str(error) or type(error).__name__)) from None
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise ValueError(f"its pixels are not {shape[0]} rows of {shape[1]}")
    return pixels


def _chunk(kind: bytes, part: memoryview) -> bytes:
    from deflate import crc32

    content = kind + part.tobytes()
    return struct.pack(">I", len(part)) + content + struct.pack(">I", crc32(content))
