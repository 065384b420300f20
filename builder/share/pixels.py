"""Image members that hold pixels and nothing else: no notes, no names, no bytes behind them."""

import struct

from builder.contract import ImageSpec, decode_image

_PNG = (b"IHDR", b"IDAT", b"IEND")
# JPEG markers that hold no more than pixels need: tables, frame, scan, restart interval
_JPEG = {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDA, 0xDD}
_JFIF, _SCAN = 0xE0, 0xDA


def check_pixels_alone(data: bytes, image: ImageSpec) -> None:
    """ValueError where an image member holds anything beside its pixels, or no pixels."""
    extra = _extra_png(data) if image.codec == "png" else _extra_jpeg(data)
    if extra:
        raise ValueError(f"it holds {extra} beside its pixels")
    decode_image(data, image)


def _extra_png(data: bytes) -> str:
    """What a PNG holds beside its pixels; "" where that is nothing."""
    place, kind = 8, b""
    while kind != b"IEND" and place + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind not in _PNG:
            return f"a chunk {kind!r}"
        place += 12 + size
    return "" if place == len(data) else "bytes after the end"


def _extra_jpeg(data: bytes) -> str:
    """What a JPEG holds beside its pixels; "" where that is nothing."""
    place = 2
    while place + 4 <= len(data):
        mark, marker, size = struct.unpack_from(">BBH", data, place)
        jfif = marker == _JFIF and data[place + 4 : place + 9] == b"JFIF\0" and size == 16
        if mark != 0xFF or not (jfif or marker in _JPEG):
            return f"a segment {marker:#x}"
        place += 2 + size
        if marker == _SCAN:
            place = _end_of_scan(data, place)
        if data[place : place + 2] == b"\xff\xd9":
            return "" if place + 2 == len(data) else "bytes after the end"
    return "no end"


def _end_of_scan(data: bytes, place: int) -> int:
    """Where the next marker begins; the zeros and restarts among the pixels are none."""
    while (place := data.find(b"\xff", place)) >= 0:
        if place + 1 < len(data) and data[place + 1] not in (0, *range(0xD0, 0xD8)):
            return place
        place += 1
    return len(data)
