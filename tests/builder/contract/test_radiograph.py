import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from errno import EACCES
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from builder.contract import Bytes, ImageSpec, decode_image
from builder.contract.radiograph import Reading, read_radiograph, resize
from builder.write.encode import encode


def noise(*shape: int) -> Bytes:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def lanczos(pixels: Bytes, size: int) -> Bytes:
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))


def test_images_are_reduced_with_antialiasing() -> None:
    big = np.kron(np.eye(8), np.ones((4, 4))).astype(np.uint8) * 200
    assert np.array_equal(resize(big, 16), lanczos(big, 16))
    assert resize(big, 32) is big


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_middle_square_is_kept(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"tall.{suffix}"
    Image.fromarray(noise(70, 50)).save(file)
    with Image.open(file) as picture:
        own = np.asarray(picture)
    assert np.array_equal(read_radiograph(file, 50, Reading()), own[10:60])
    assert np.array_equal(read_radiograph(file, 32, Reading()), lanczos(own[10:60].copy(), 32))


def test_sixteen_bits_are_scaled_and_colours_become_grey(tmp_path: Path) -> None:
    deep, colour = tmp_path / "deep.png", tmp_path / "colour.png"
    Image.fromarray(noise(40, 40).astype(np.uint16) * 257).save(deep)
    Image.fromarray(np.stack([noise(40, 40)] * 3, axis=-1)).save(colour)
    assert np.array_equal(read_radiograph(deep, 40, Reading()), noise(40, 40))
    assert np.array_equal(read_radiograph(colour, 40, Reading()), noise(40, 40))


def test_what_is_no_radiograph_is_refused_with_a_reason(tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    Image.fromarray(noise(40, 40)).save(cut)
    cut.write_bytes(cut.read_bytes()[:400])
    (tmp_path / "text.png").write_text("no image")
    Image.new("L", (40, 40), 9).save(tmp_path / "flat.png")
    reasons = {
        "absent.png": "missing",
        "cut.png/below.png": "missing",
        ".": "missing",
        "x" * 300: "^File name too long$",
        "text.png": "neither PNG, JPEG, TIFF nor DICOM",
        "flat.png": "every pixel is the same",
        "cut.png": "truncated",
    }
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=reason):
            read_radiograph(tmp_path / name, 32, Reading())


def test_a_file_that_the_system_does_not_open_is_refused_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(path: Path, *_: object, **__: object) -> NoReturn:
        raise PermissionError(EACCES, os.strerror(EACCES), str(path))

    file = tmp_path / "a.png"
    Image.fromarray(noise(40, 40)).save(file)
    for name in ("open", "stat"):
        monkeypatch.setattr(Path, name, locked)
        with pytest.raises(ValueError, match=r"^Permission denied"):
            read_radiograph(file, 32, Reading())


def test_too_many_pixels_are_refused_in_any_thread_and_say_nothing_on_stderr(
    tmp_path: Path,
) -> None:
    file = tmp_path / "huge.png"
    Image.new("1", (10_000, 10_000)).save(file)

    def reason(_: int) -> str:
        with pytest.raises(ValueError, match="pixels") as caught:
            read_radiograph(file, 32, Reading())
        return str(caught.value)

    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(reason, range(64))} == {"more pixels than any radiograph has"}
    assert list(warnings.filters) == before


@pytest.mark.parametrize("shape", [(48, 64), (64, 48)])
def test_images_that_are_too_small_are_enlarged_only_if_asked(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    file = tmp_path / "small.png"
    Image.fromarray(noise(*shape)).save(file)
    words = f"{shape[0]}×{shape[1]} pixels, smaller than 49: build with a smaller --image-size, or"
    with pytest.raises(ValueError, match=words):
        read_radiograph(file, 49, Reading())
    middle = noise(*shape)[:, 8:56] if shape[0] < shape[1] else noise(*shape)[8:56]
    assert np.array_equal(read_radiograph(file, 48, Reading()), middle)
    large = read_radiograph(file, 49, Reading(upsample=True))
    assert np.array_equal(large, lanczos(middle.copy(), 49))


def test_a_picture_is_turned_before_it_is_cut(tmp_path: Path) -> None:
    stored, exif = noise(50, 70), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = np.rot90(stored, -1)
    assert np.array_equal(read_radiograph(tmp_path / "a.png", 50, Reading()), upright[10:60])


def test_a_rule_holds_for_pictures_and_dicom(
    write_dicom: Callable[..., object], tmp_path: Path
) -> None:
    values = noise(40, 40).astype(np.uint16) * 16
    values[0, 0] = 4095
    Image.fromarray(values).save(tmp_path / "a.png")
    write_dicom(tmp_path / "b.dcm", values)
    write_dicom(tmp_path / "c", values, BitsStored=12)
    first = read_radiograph(tmp_path / "a.png", 40, Reading(depth=12))
    for name in ("b.dcm", "c"):
        assert np.array_equal(read_radiograph(tmp_path / name, 40, Reading(depth=12)), first)
    for name in ("a.png", "b.dcm"):
        with pytest.raises(ValueError, match="brightest 4095 of 65535: 12-bit data"):
            read_radiograph(tmp_path / name, 40, Reading())
    write_dicom(tmp_path / "d.dcm", values, BitsStored=12, WindowCenter=2048, WindowWidth=10)
    narrow = read_radiograph(tmp_path / "d.dcm", 40, Reading())
    assert not np.array_equal(narrow, first)
    full = read_radiograph(tmp_path / "d.dcm", 40, Reading(window="full"))
    assert np.array_equal(full, first)


def test_words_of_a_file_cannot_move_the_cursor(
    write_dicom: Callable[..., object], tmp_path: Path
) -> None:
    file = tmp_path / "a.dcm"
    write_dicom(file, noise(40, 40))
    file.write_bytes(file.read_bytes().replace(b"MONOCHROME2", b"\x1b[2J\x07RGBRGB"))
    with pytest.raises(ValueError, match="of the kind") as caught:
        read_radiograph(file, 40, Reading())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("data", "words"), [(b"", "the file is empty"), (b"hello", "neither PNG")])
def test_a_file_that_is_no_image_is_told_from_an_empty_one(
    tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=words):
        read_radiograph(tmp_path / "a.png", 32, Reading())


def grey_png(side: int, bits: int) -> bytes:
    """A black square; its rows are compressed one by one, because a large one takes memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row, packer = bytes(1 + side * bits // 8), zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, part) for kind, part in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    )


@pytest.mark.parametrize(
    ("side", "said"), [(9_400, "more pixels than any"), (7_000, "every pixel is the same")]
)
def test_a_small_file_of_many_pixels_is_refused_within_bounds(
    side: int, said: str, tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(grey_png(side, 16))
    assert path.stat().st_size < 200_000
    with bearable(), pytest.raises(ValueError, match=said):
        read_radiograph(path, 64, Reading(depth=16))


def test_a_file_of_gigabytes_is_refused_unread(
    tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(grey_png(32, 8))
    with path.open("r+b") as file:
        file.truncate(4 << 30)
    with bearable(), pytest.raises(ValueError, match="its 1,024 pixels are stored in 4,294,967"):
        read_radiograph(path, 16, Reading())


def test_a_jpeg_of_a_thousand_scans_is_refused(
    tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    data = io.BytesIO()
    Image.fromarray(np.full((2048, 2048), 99, np.uint8)).save(data, "JPEG", progressive=True)
    good = data.getvalue()
    path = tmp_path / "x.jpg"
    path.write_bytes(good[:-2] + good[good.rfind(b"\xff\xc4") : -2] * 1000 + good[-2:])
    assert path.stat().st_size < 200_000
    with bearable(), pytest.raises(ValueError, match="more than 24 scans"):
        read_radiograph(path, 64, Reading())
    spec = ImageSpec(height=2048, width=2048, codec="jpg", quality=95)
    with bearable(), pytest.raises(ValueError, match="more than 24 scans"):
        decode_image(path.read_bytes(), spec)
    decode_image(good, spec)  # of progressive images, each is counted again
    with bearable(), pytest.raises(ValueError, match="more than 24 scans"):
        decode_image(path.read_bytes(), spec)


def test_a_sequential_jpeg_of_a_thousand_scans_is_refused_soon(
    bearable: Callable[[], AbstractContextManager[None]],
) -> None:
    spec = ImageSpec(height=2048, width=2048, codec="jpg", quality=95)
    good = encode(np.full((2048, 2048), 99, np.uint8), spec)
    decode_image(good, spec)  # its header is known, so the next one's scans are not counted
    many = good[:-2] + good[good.rfind(b"\xff\xda") : -2] * 1000 + good[-2:]
    with bearable(), pytest.raises(ValueError, match="more than one scan"):
        decode_image(many, spec)


def test_a_tiff_of_a_hundred_thousand_images_is_refused_soon(
    tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    data = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(data, "TIFF")
    whole = bytearray(data.getvalue())
    first = struct.unpack_from("<I", whole, 4)[0]
    last = first + 2 + 12 * struct.unpack_from("<H", whole, first)[0]
    directory = bytes(whole[first:last])
    for _ in range(5_000):
        whole[last : last + 4] = struct.pack("<I", len(whole))
        last = len(whole) + len(directory)
        whole += directory + bytes(4)
    path = tmp_path / "x.tif"
    path.write_bytes(whole)
    with bearable(), pytest.raises(ValueError, match="100 images in one TIFF file"):
        read_radiograph(path, 4, Reading())


@pytest.mark.parametrize("kind", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_damaged_tiff_is_one_sentence_and_no_line_of_libtiff(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(noise(40, 40)).save(path, compression=kind)
    path.write_bytes(path.read_bytes().replace(path.read_bytes()[8:40], bytes(32), 1))
    with pytest.raises(ValueError, match=r"damaged pixels|broken"):
        read_radiograph(path, 40, Reading())
    assert capfd.readouterr() == ("", "")
