import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from builder.contract import Bytes
from builder.contract.grey import read_picture
from builder.contract.jpeg import check_jpeg, jpeg_pixels

EOI = b"\xff\xd9"
EXIF = Image.Exif()
EXIF[0x0112] = 1
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "grey": ("L", {}),
    "colour": ("RGB", {}),
    "four colours": ("CMYK", {}),
    "progressive": ("L", {"progressive": True}),
    "progressive colour": ("RGB", {"progressive": True}),
    "restarts": ("L", {"restart_marker_blocks": 16}),
    "exif": ("L", {"exif": EXIF}),
}


def picture() -> Bytes:
    rows, columns = np.mgrid[:128, :128]
    waves = 128 + 80 * np.sin(columns / 9) * np.cos(rows / 30)
    noise = np.random.default_rng(0).normal(0, 10, (128, 128))
    return np.asarray((waves + noise).clip(0, 255).astype(np.uint8))


def noise() -> Bytes:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def jpeg(kind: str = "grey") -> bytes:
    mode, options = KINDS[kind]
    data = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(data, "JPEG", quality=90, **options)
    return data.getvalue()


def is_refused(data: bytes) -> bool:
    try:
        check_jpeg(data)
    except ValueError:
        return True
    return False


def spoilt(good: bytes, seed: int) -> bytes:
    """With one bit flipped, some bytes cut out or some set to zero within the scans."""
    random, data = np.random.default_rng(seed), bytearray(good)
    first = good.find(b"\xff\xda") + 14
    place = int(random.integers(first, len(data) - 300))
    count = int(random.integers(1, 256))
    if seed % 3 == 0:
        data[place] ^= 1 << int(random.integers(8))
    elif seed % 3 == 1:
        del data[place : place + count]
    else:
        data[place : place + count] = bytes(count)
    return bytes(data)


@pytest.mark.parametrize("kind", KINDS)
def test_all_damage_that_a_strict_decoder_tells_is_refused_here_or_by_any_decoder(
    kind: str,
) -> None:
    good, told = jpeg(kind), 0
    check_jpeg(good)
    for seed in range(60):
        bad = spoilt(good, seed)
        try:
            simplejpeg.decode_jpeg(bad, "GRAY")
        except ValueError:
            told += 1
            if not is_refused(bad):
                with Image.open(io.BytesIO(bad)) as file, pytest.raises(OSError, match="broken"):
                    file.load()
        else:
            assert not is_refused(bad)
    assert told > 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_are_the_decoders(kind: str) -> None:
    good = jpeg(kind)
    middle = len(good) // 2
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        check_jpeg(good[:middle] + good[middle + 300 :])
    with pytest.raises(ValueError, match="premature end"):
        check_jpeg(good[:-40])


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_change_no_pixel_are_passed_over(kind: str) -> None:
    good = jpeg(kind)
    tables = good.find(b"\xff\xdb")
    harmless = {
        "after the end": good + b"more",
        "before a marker": good[:tables] + b"abc" + good[tables:],
        "a filled scan": good[:-2] + bytes(20) + EOI,
    }
    with Image.open(io.BytesIO(good)) as file:
        pixels = np.asarray(file)
    for what, data in harmless.items():
        check_jpeg(data)
        with Image.open(io.BytesIO(data)) as file:
            assert np.array_equal(np.asarray(file), pixels), what
    check_jpeg(good[:-2])  # Pillow refuses some without an end
    with pytest.raises(ValueError, match="extraneous bytes before marker 0xd9"):
        check_jpeg(good[:-2] + b"\x01\x02\x03" * 9 + EOI)


@pytest.mark.parametrize("kind", ["grey", "progressive"])
def test_harmless_bytes_do_not_hide_damage(kind: str) -> None:
    good = jpeg(kind)
    tables, middle = good.find(b"\xff\xdb"), len(good) // 2
    bad = good[:tables] + b"abc" + good[tables:middle] + good[middle + 300 :]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(bad, "GRAY")
    with pytest.raises(ValueError, match=r"premature end of data|extraneous bytes before marker"):
        check_jpeg(bad)


def test_a_scan_whose_marker_is_damaged_is_no_harmless_bytes() -> None:
    good = jpeg("progressive")
    last = good.rfind(b"\xff\xda")
    with pytest.raises(ValueError, match="extraneous"):
        check_jpeg(good[:last] + b"\0\0" + good[last + 2 :])


def test_metadata_and_parameters_that_no_decoder_reads_may_be_odd() -> None:
    good = jpeg()
    version, scan = good.find(b"JFIF\0") + 5, good.find(b"\xff\xda")
    odd = (
        good[:version] + b"\x07" + good[version + 1 :],
        good[: scan + 7] + bytes(3) + good[scan + 10 :],
    )
    for data in odd:
        with pytest.raises(ValueError, match=r"JFIF revision|Invalid SOS"):
            simplejpeg.decode_jpeg(data, "GRAY")
        check_jpeg(data)


def test_what_the_decoder_cannot_read_is_left_to_others() -> None:
    for data in (b"", b"\xff\xd8\xff", b"no image", jpeg()[:60]):
        check_jpeg(data)
        assert jpeg_pixels(data) == 0
    assert jpeg_pixels(jpeg("colour")) == 128 * 128


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_jpeg_without_some_of_its_bytes_is_refused(
    tmp_path: Path, mode: str, turned: bool
) -> None:
    kept: dict[str, Any] = {"exif": EXIF} if turned else {}
    file = tmp_path / "torn.jpg"
    Image.fromarray(noise()).convert(mode).save(file, **kept)
    data = file.read_bytes()
    middle, tables = len(data) * 2 // 3, data.find(b"\xff\xdb")
    good = read_picture(file, None)
    file.write_bytes(data[:tables] + b"abc" + data[tables:] + b"more")
    assert np.array_equal(read_picture(file, None), good)
    file.write_bytes(data[:middle] + data[middle + 300 :])
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        read_picture(file, None)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("strip", [64, 16])
def test_a_jpeg_within_a_tiff_is_looked_at_too(tmp_path: Path, mode: str, strip: int) -> None:
    file = tmp_path / "torn.tif"
    pixels = Image.fromarray(noise()).convert(mode)
    pixels.save(file, compression="jpeg", tiffinfo={278: strip})
    assert read_picture(file, None).shape == (64, 64)
    data = file.read_bytes()
    with TiffImageFile(file) as again:
        places, sizes = again.tag_v2[273], again.tag_v2[279]
    assert len(places) == 64 // strip
    at = places[-1] + sizes[-1] * 3 // 4
    file.write_bytes(data[:at] + bytes(80) + data[at + 80 :])
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        read_picture(file, None)


def test_a_tiff_of_one_large_jpeg_told_a_thousand_times_is_refused_soon(tmp_path: Path) -> None:
    part, file = io.BytesIO(), tmp_path / "many.tif"
    Image.new("L", (4096, 4096)).save(part, "JPEG")
    data, count = part.getvalue(), 1000
    tags: dict[int, tuple[int, int]] = {256: (1, 8), 257: (1, 8 * count), 258: (1, 8), 259: (1, 7)}
    start = 8 + 2 + 12 * 9 + 4
    tags |= {262: (1, 1), 273: (count, start), 277: (1, 1), 278: (1, 8)}
    tags[279] = (count, start + 4 * count)
    entries = b"".join(struct.pack("<HHII", tag, 4, *tags[tag]) for tag in sorted(tags))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    places, sizes = ([value] * count for value in (start + 8 * count, len(data)))
    file.write_bytes(head + struct.pack(f"<{2 * count}I", *places, *sizes) + data)
    with pytest.raises(ValueError, match="more pixels than any radiograph"):
        read_picture(file, None)
