"""The pixel data of a DICOM file, compressed or not → the integers that are stored."""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from builder.contract.image import check_scans
from builder.contract.jpeg import check_jpeg

if TYPE_CHECKING:
    from pydicom import Dataset

Pixels = npt.NDArray[np.integer[Any]]

# The transfer syntaxes of DICOM PS3.5, annex A.4, below 1.2.840.10008.1.2.4, by their codec.
_JPEG = ("50", "51", "57", "70")
_JPEG_LS = ("80", "81")
_JPEG_2000 = ("90", "91", "201", "202", "203")

_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOF55 = 0xFFF7
_EOI = b"\xff\xd9"
_NO_SOF = (0xFFC4, 0xFFC8, 0xFFCC)


def decode(whole: "Dataset") -> Pixels:
    """Integers [H, W] of a file with one frame of greys.

    NotImplementedError where its transfer syntax is not read; anything where bytes are damaged.
    """
    import imagecodecs
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder

    syntax = whole.file_meta.TransferSyntaxUID
    codec = _codec(syntax)
    if codec is None:
        pixels, _ = get_decoder(syntax).as_array(whole, index=0, raw=True)
        return pixels
    frame = get_frame(whole.PixelData, 0, number_of_frames=1)
    shape = (whole.Rows, whole.Columns)
    if _size(frame) != shape:  # before a decoder makes room for it
        raise ValueError("the compressed image has another size than the header says")
    # Where the end is missing, CharLS looks for it for seconds, and libjpeg fills up the image.
    if codec is not imagecodecs.jpeg2k_decode and _EOI not in frame[-16:]:
        raise ValueError("the compressed image is cut")
    if codec is imagecodecs.jpeg8_decode:
        check_scans(frame)
        check_jpeg(frame)
    pixels = codec(frame)
    bits, signed = whole.BitsStored, bool(whole.PixelRepresentation)
    above = (pixels.astype(np.int32) >> bits) & (0xFFFF >> bits)
    if pixels.shape != shape or not np.isin(above, [0, signed * (0xFFFF >> bits)]).all():
        raise ValueError("the compressed greys are not what the header says")
    return pixels


def _size(frame: bytes) -> tuple[int, int] | None:
    """Height and width in the header of a compressed frame."""
    if frame.startswith(_SOC_SIZ):  # ISO 15444-1, A.5.1
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        return bottom - top, right - left
    at = 2
    while at + 9 <= len(frame):  # ISO 10918-1, B.2.2; JPEG-LS has a marker of its own
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker == _SOF55 or (marker & 0xFFF0 == 0xFFC0 and marker not in _NO_SOF):
            height, width = struct.unpack_from(">HH", frame, at + 5)
            return height, width
        at += 2 + length
    return None


def _codec(syntax: str) -> Callable[[bytes], Pixels] | None:
    """What decodes a frame of that transfer syntax; None where pydicom does it by itself."""
    import imagecodecs

    parent, _, last = syntax.rpartition(".")
    if parent != "1.2.840.10008.1.2.4":
        return None
    if last in _JPEG:
        return imagecodecs.jpeg8_decode
    if last in _JPEG_LS:
        return imagecodecs.jpegls_decode
    if last in _JPEG_2000:
        return imagecodecs.jpeg2k_decode
    raise NotImplementedError
