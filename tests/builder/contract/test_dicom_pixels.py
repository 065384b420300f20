"""Pixel data in every compression that is read, against the pixels that were compressed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from builder.contract.dicom import read_dicom
from builder.contract.dicom_pixels import decode

Array = npt.NDArray[Any]
Write = Callable[..., Dataset]


def smooth(bits: int, shape: tuple[int, int] = (48, 40)) -> Array:
    values = np.add.outer(np.arange(shape[0]) ** 2, 30 * np.arange(shape[1]))
    return (values * (2**bits - 1) // values.max()).astype(np.uint8 if bits == 8 else np.uint16)


def jpeg(values: Array, bits: int = 8, *, lossless: bool = False, level: int = 99) -> bytes:
    return bytes(
        imagecodecs.jpeg8_encode(values, level, bitspersample=bits, lossless=lossless or None)
    )


def jpeg_2000(values: Array, level: float = 0, bits: int | None = None) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            values, level, codecformat="j2k", reversible=not level, bitspersample=bits
        )
    )


def jpeg_ls(values: Array, level: int = 0) -> bytes:
    return bytes(imagecodecs.jpegls_encode(values, level))


LOSSLESS: list[tuple[UID, int, Callable[[Array], bytes]]] = [
    (JPEGLossless, 12, lambda values: jpeg(values, 12, lossless=True)),
    (JPEGLosslessSV1, 10, lambda values: jpeg(values, 10, lossless=True)),
    (JPEGLosslessSV1, 16, lambda values: jpeg(values, 16, lossless=True)),
    (JPEGLosslessSV1, 8, lambda values: jpeg(values, 8, lossless=True)),
    (JPEGLSLossless, 12, jpeg_ls),
    (JPEGLSLossless, 8, jpeg_ls),
    (JPEG2000Lossless, 12, jpeg_2000),
    (JPEG2000Lossless, 8, jpeg_2000),
    (JPEG2000, 16, jpeg_2000),
]
LOSSY: list[tuple[UID, int, Callable[[Array], bytes]]] = [
    (JPEGBaseline8Bit, 8, jpeg),
    (JPEGExtended12Bit, 12, lambda values: jpeg(values, 12)),
    (JPEGLSNearLossless, 12, lambda values: jpeg_ls(values, 3)),
    (JPEG2000, 12, lambda values: jpeg_2000(values, 90, 12)),
]


@pytest.mark.parametrize(
    ("syntax", "bits", "encode", "off"),
    [*((*row, 0) for row in LOSSLESS), *((*row, 0.005) for row in LOSSY)],
)
def test_compressed_pixels_are_those_that_were_compressed(
    write_dicom: Write,
    tmp_path: Path,
    syntax: UID,
    bits: int,
    encode: Callable[[Array], bytes],
    off: float,
) -> None:
    values = smooth(bits)
    write_dicom(tmp_path / "a.dcm", values, BitsStored=bits, syntax=syntax, frame=encode(values))
    pixels = decode(pydicom.dcmread(tmp_path / "a.dcm"))
    assert np.abs(pixels.astype(int) - values).max() <= off * 2**bits
    write_dicom(tmp_path / "plain.dcm", values, BitsStored=bits)
    first, second = (
        read_dicom(tmp_path / name, depth=None, window="dicom").astype(int)
        for name in ("a.dcm", "plain.dcm")
    )
    assert np.abs(first - second).max() <= round(255 * off)


def test_run_lengths_are_read(write_dicom: Write, tmp_path: Path) -> None:
    values = smooth(12)
    made = write_dicom(tmp_path / "a.dcm", values, BitsStored=12)
    made.compress(RLELossless, values, encoding_plugin="pydicom")
    made.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    assert np.array_equal(decode(pydicom.dcmread(tmp_path / "rle.dcm")), values)


@pytest.mark.parametrize("sign_in_codec", [False, True])
def test_signed_pixels_keep_their_sign(
    write_dicom: Write, tmp_path: Path, sign_in_codec: bool
) -> None:
    values = smooth(12).astype(np.int16) - 2048
    stored = values if sign_in_codec else (values & 0xFFF).astype(np.uint16)
    frame = jpeg_2000(values) if sign_in_codec else jpeg(stored, 12, lossless=True)
    syntax = JPEG2000Lossless if sign_in_codec else JPEGLosslessSV1
    write_dicom(tmp_path / "a.dcm", values, BitsStored=12, syntax=syntax, frame=frame)
    write_dicom(tmp_path / "plain.dcm", values, BitsStored=12)
    first, second = (
        read_dicom(tmp_path / name, depth=None, window="dicom") for name in ("a.dcm", "plain.dcm")
    )
    assert np.array_equal(first, second)
    assert np.ptp(first) == 255


@pytest.mark.parametrize(("syntax", "bits", "encode"), [*LOSSLESS, *LOSSY])
def test_a_cut_frame_is_refused(
    write_dicom: Write,
    tmp_path: Path,
    syntax: UID,
    bits: int,
    encode: Callable[[Array], bytes],
) -> None:
    values = smooth(bits)
    frame = encode(values)
    began = time.process_time()
    for part in (0.1, 0.5, 0.9):
        cut = frame[: int(part * len(frame))]
        write_dicom(tmp_path / "a.dcm", values, BitsStored=bits, syntax=syntax, frame=cut)
        with pytest.raises(ValueError, match="are damaged or missing"):
            read_dicom(tmp_path / "a.dcm", depth=None, window="dicom")
    assert time.process_time() - began < 2  # CharLS alone takes some six seconds for each
    write_dicom(tmp_path / "a.dcm", values, BitsStored=bits, syntax=syntax, frame=frame)
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[: -len(frame) // 2])
    with pytest.raises(ValueError, match="are damaged or missing"):
        read_dicom(tmp_path / "a.dcm", depth=None, window="dicom")


@pytest.mark.parametrize(("syntax", "bits", "encode"), [*LOSSLESS, *LOSSY])
def test_a_frame_of_another_size_is_refused_before_it_is_decoded(
    write_dicom: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    syntax: UID,
    bits: int,
    encode: Callable[[Array], bytes],
) -> None:
    frame = encode(smooth(bits, (64, 40)))
    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, name, pytest.fail)
    write_dicom(tmp_path / "a.dcm", smooth(bits), BitsStored=bits, syntax=syntax, frame=frame)
    with pytest.raises(ValueError, match="another size"):
        decode(pydicom.dcmread(tmp_path / "a.dcm"))


def test_more_bits_than_announced_and_colours_are_refused(
    write_dicom: Write, tmp_path: Path
) -> None:
    values = smooth(16)
    frame = jpeg(values, 16, lossless=True)
    write_dicom(tmp_path / "a.dcm", values, BitsStored=12, syntax=JPEGLosslessSV1, frame=frame)
    with pytest.raises(ValueError, match="not what the header says"):
        decode(pydicom.dcmread(tmp_path / "a.dcm"))
    frame = jpeg(np.stack([smooth(8)] * 3, axis=-1))
    write_dicom(tmp_path / "a.dcm", smooth(8), syntax=JPEGBaseline8Bit, frame=frame)
    with pytest.raises(ValueError, match="not what the header says"):
        decode(pydicom.dcmread(tmp_path / "a.dcm"))


def test_a_compression_that_is_not_read_says_so(write_dicom: Write, tmp_path: Path) -> None:
    syntax = UID("1.2.840.10008.1.2.4.100")
    write_dicom(tmp_path / "a.dcm", smooth(8), syntax=syntax, frame=b"movie")
    with pytest.raises(NotImplementedError):
        decode(pydicom.dcmread(tmp_path / "a.dcm"))


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessSV1])
def test_a_jpeg_of_eight_bits_without_some_of_its_bytes_is_refused(
    write_dicom: Write, tmp_path: Path, syntax: UID
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (48, 40), np.uint8)
    frame = jpeg(values, lossless=syntax == JPEGLosslessSV1)
    write_dicom(tmp_path / "a.dcm", values, syntax=syntax, frame=frame + b"\0\0")
    assert decode(pydicom.dcmread(tmp_path / "a.dcm")).shape == values.shape
    middle = len(frame) // 2
    torn = frame[:middle] + frame[middle + 300 :]
    write_dicom(tmp_path / "a.dcm", values, syntax=syntax, frame=torn)
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        decode(pydicom.dcmread(tmp_path / "a.dcm"))
    with pytest.raises(ValueError, match="are damaged or missing"):
        read_dicom(tmp_path / "a.dcm", depth=None, window="dicom")
