"""Files that Pillow opens, against expectations worked out by numpy."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence, UnidentifiedImageError

from builder.contract import Bytes
from builder.contract.grey import _plain_jpeg, check_depth, read_picture, scale

Array = npt.NDArray[Any]
FEW = settings(max_examples=60)
SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))
SEEDS = st.integers(0, 2**32 - 1)
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: np.swapaxes(stored, 0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.swapaxes(stored[::-1, ::-1], 0, 1),
    8: lambda stored: np.rot90(stored),
}


def noise(shape: Sequence[int], seed: int = 0, most: int = 255) -> Array:
    kind = np.uint8 if most < 256 else np.uint16
    return np.random.default_rng(seed).integers(0, most + 1, shape, kind)


def luma(colours: Array) -> Array:
    """ITU-R 601-2 in 16-bit fixed point: what a colour's grey is."""
    red, green, blue = np.moveaxis(colours.astype(np.int64), -1, 0)
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png48(pixels: Array) -> bytes:
    """A PNG of uint16 [H, W, 1, 2, 3 or 4]."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff(data: bytes, size: tuple[int, int], bits: int, photometric: int) -> bytes:
    """A little-endian grey TIFF of one strip."""
    height, width = size
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height}
    tags |= {273: 0, 279: len(data)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all the examples of a test: names are written again."""
    return tmp_path_factory.mktemp("pictures")


@FEW
@given(
    orientation=st.sampled_from(sorted(UPRIGHT)),
    kind=st.sampled_from(["grey.png", "deep.png", "colour.png", "grey.jpg", "colour.jpg"]),
    shape=SIDES,
    seed=SEEDS,
)
def test_every_orientation_is_put_upright(
    folder: Path, orientation: int, kind: str, shape: tuple[int, int], seed: int
) -> None:
    pixels = noise((*shape, 3) if "colour" in kind else shape, seed)
    if kind == "deep.png":
        pixels = pixels.astype(np.uint16) * 257
        pixels[0, 0] = 65535
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(folder / f"plain-{kind}")
    Image.fromarray(pixels).save(folder / kind, exif=exif)
    stored = read_picture(folder / f"plain-{kind}", None)
    assert np.array_equal(read_picture(folder / kind, None), UPRIGHT[orientation](stored))
    if kind in ("grey.png", "deep.png"):
        assert np.array_equal(stored, pixels // (257 if kind == "deep.png" else 1))


@pytest.mark.parametrize("packing", ["raw", "tiff_lzw", "tiff_deflate"])
@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("deep", [False, True])
def test_tiffs_are_put_upright_once(
    folder: Path, packing: str, orientation: int, deep: bool
) -> None:
    pixels = noise((7, 5), 3)
    stored = pixels.astype(np.uint16) * 257 if deep else pixels
    picture, file = Image.fromarray(stored), folder / "turned.tif"
    picture.save(file, compression=packing, tiffinfo={0x0112: orientation})
    assert np.array_equal(read_picture(file, None), UPRIGHT[orientation](pixels))


@FEW
@given(depth=st.integers(8, 16), shape=SIDES, seed=SEEDS, suffix=st.sampled_from(["png", "tif"]))
def test_greys_of_a_known_depth_fill_eight_bits(
    folder: Path, depth: int, shape: tuple[int, int], seed: int, suffix: str
) -> None:
    most = 2**depth - 1
    values = noise(shape, seed, most).astype(np.uint16)
    file = folder / f"deep.{suffix}"
    Image.fromarray(values).save(file)
    assert np.array_equal(
        read_picture(file, depth), np.floor(values.astype(int) * 255 / most + 0.5)
    )
    if values.max() >= 2 ** (depth - 1):
        for less in range(8, depth):
            with pytest.raises(ValueError, match=f"brightest {values.max()}: more than --depth"):
                read_picture(file, less)


def test_the_full_range_is_scaled_as_it_always_was() -> None:
    every = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(scale(16), (every.astype(np.float32) / 257 + 0.5).astype(np.uint8))
    assert np.array_equal(scale(8), np.arange(256))


@FEW
@given(brightest=st.integers(1, 65535))
def test_the_depth_is_never_guessed(brightest: int) -> None:
    values = np.array([[0, brightest]])
    if brightest >= 32768:
        assert check_depth(values, None) == 16
        return
    bits = next(bits for bits in range(8, 16) if brightest < 2**bits)
    words = f"brightest {brightest} of 65535: {bits}-bit data\\? say --depth {bits}, or --depth 16"
    with pytest.raises(ValueError, match=words):
        check_depth(values, None)
    assert check_depth(values, bits) == bits
    assert check_depth(values, 16) == 16


def test_signed_values_need_one_bit_more() -> None:
    for values, bits in (([-1, 4095], 13), ([-4096, 0], 13), ([-4097, 0], 14)):
        with pytest.raises(ValueError, match=f"{bits}-bit data"):
            check_depth(np.array(values), None, signed=True)
        assert check_depth(np.array(values), bits, signed=True) == bits
        with pytest.raises(ValueError, match="more than --depth 12 holds"):
            check_depth(np.array(values), 12, signed=True)
    assert check_depth(np.array([-20000, 3]), None, signed=True) == 16


@FEW
@given(shape=SIDES, seed=SEEDS, mode=st.sampled_from(["RGBA", "LA"]), suffix=st.sampled_from("pt"))
def test_transparent_parts_lie_on_black(
    folder: Path, shape: tuple[int, int], seed: int, mode: str, suffix: str
) -> None:
    pixels = noise((*shape, len(mode)), seed)
    file = folder / {"p": "clear.png", "t": "clear.tif"}[suffix]
    Image.fromarray(pixels, mode).save(file)
    colours, alpha = pixels[..., :-1].astype(float), pixels[..., -1:] / 255
    shown = np.rint(colours * alpha)
    expected = luma(shown) if mode == "RGBA" else shown[..., 0]
    assert np.abs(read_picture(file, None) - expected).max() <= 1
    opaque = pixels.copy()
    opaque[..., -1] = 255
    Image.fromarray(opaque, mode).save(file)
    expected = luma(opaque[..., :3]) if mode == "RGBA" else opaque[..., 0]
    assert np.array_equal(read_picture(file, None), expected)


def test_a_transparent_colour_is_black(folder: Path) -> None:
    file, key = folder / "key.png", np.array([[9, 200], [200, 77]], np.uint8)
    Image.fromarray(key).save(file, transparency=200)
    assert read_picture(file, None).tolist() == [[9, 0], [0, 77]]
    Image.fromarray(np.stack([key] * 3, axis=-1)).save(file, transparency=(200, 200, 200))
    assert read_picture(file, None).tolist() == [[9, 0], [0, 77]]
    Image.fromarray(key.astype(np.uint16) * 257).save(file, transparency=200 * 257)
    assert read_picture(file, 16).tolist() == [[9, 0], [0, 77]]
    palette = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "P")
    palette.putpalette([9, 9, 9, 200, 200, 200, 77, 77, 77])
    palette.save(file)
    assert read_picture(file, None).tolist() == [[9, 200], [200, 77]]
    palette.save(file, transparency=1)
    assert read_picture(file, None).tolist() == [[9, 0], [0, 77]]
    palette.save(file, transparency=b"\xff\x80\x00")
    assert read_picture(file, None).tolist() == [[9, 100], [100, 0]]


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *(("png", mode) for mode in ("1", "L", "P", "RGB")),
        *(("jpg", mode) for mode in ("L", "RGB", "CMYK", "YCbCr")),
        *(("tif", mode) for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr")),
    ],
)
def test_other_kinds_are_as_pillow_makes_them_grey(folder: Path, suffix: str, mode: str) -> None:
    file = folder / f"kind.{suffix}"
    Image.fromarray(noise((9, 7, 3))).convert(mode).save(file)
    with Image.open(file) as again:
        assert np.array_equal(read_picture(file, 12), np.asarray(again.convert("L")))


def test_sixteen_bits_of_colour_are_read_in_full_range_only(folder: Path) -> None:
    file, pixels = folder / "48.png", noise((9, 7, 3))
    file.write_bytes(png48(pixels.astype(np.uint16) * 257))
    for depth in (None, 16):
        assert np.array_equal(read_picture(file, depth), luma(pixels))
    with pytest.raises(ValueError, match="--depth 12 is for greys alone"):
        read_picture(file, 12)
    for channels in (2, 3, 4):
        file.write_bytes(png48(noise((9, 7, channels), 0, 4095)))
        with pytest.raises(ValueError, match="save 16-bit grey, or say --depth 16"):
            read_picture(file, None)
        assert read_picture(file, 16).max() < 16


def test_a_tiff_says_that_white_is_zero_or_that_it_has_twelve_bits(folder: Path) -> None:
    file, values = folder / "own.tif", noise((4, 6), 0, 65535).astype("<u2")
    file.write_bytes(tiff(values.tobytes(), values.shape, 16, 1))
    grey = read_picture(file, None)
    assert np.array_equal(grey, scale(16)[values])
    file.write_bytes(tiff(values.tobytes(), values.shape, 16, 0))
    assert np.array_equal(read_picture(file, None), 255 - grey)
    pairs = np.array([[0xABC, 0x123], [0xFFF, 0x000]])
    packed = b"".join(int(a << 12 | b).to_bytes(3, "big") for a, b in pairs)
    file.write_bytes(tiff(packed, (2, 2), 12, 1))
    assert np.array_equal(read_picture(file, None), scale(12)[pairs])


def test_several_images_in_one_file_are_refused(folder: Path) -> None:
    pages = [Image.fromarray(noise((9, 7), seed)) for seed in range(3)]
    for name, kind in (("pages.tif", "TIFF"), ("moving.png", "PNG")):
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])
        with Image.open(folder / name) as again:
            assert len([*ImageSequence.Iterator(again)]) == 3
        with pytest.raises(ValueError, match=f"3 images in one {kind} file: one is expected"):
            read_picture(folder / name, None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.linspace(0, 1, 9, dtype=np.float32), "32-bit floating-point values"),
        (np.linspace(-5, 60000, 9).astype(np.int32), "values from -5 to 60000"),
        (np.linspace(0, 70000, 9).astype(np.int32), "values from 0 to 70000"),
    ],
)
def test_values_without_a_known_grey_are_refused(folder: Path, values: Array, words: str) -> None:
    Image.fromarray(values.reshape(3, 3)).save(folder / "odd.tif")
    with pytest.raises(ValueError, match=words):
        read_picture(folder / "odd.tif", 16)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_cut_file_is_refused(folder: Path, suffix: str) -> None:
    whole: Bytes = noise((64, 64))
    data = io.BytesIO()
    Image.fromarray(whole).save(data, {"jpg": "JPEG", "tif": "TIFF", "png": "PNG"}[suffix])
    file = folder / f"cut.{suffix}"
    for part in (0.3, 0.6, 0.9):
        file.write_bytes(data.getvalue()[: int(part * len(data.getvalue()))])
        with pytest.raises((OSError, SyntaxError, ValueError, KeyError)):
            read_picture(file, None)
    file.write_bytes(b"no image")
    with pytest.raises(UnidentifiedImageError):
        read_picture(file, None)


@FEW
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=SEEDS,
    quality=st.integers(1, 100),
    progressive=st.booleans(),
    restart=st.sampled_from([0, 1, 5]),
)
def test_a_plain_grey_jpeg_has_pillows_pixels(
    shape: tuple[int, int], seed: int, quality: int, progressive: bool, restart: int
) -> None:
    data, pixels = io.BytesIO(), noise(shape, seed)
    options = {"quality": quality, "progressive": progressive, "restart_marker_blocks": restart}
    Image.fromarray(pixels).save(data, "JPEG", **options)
    with Image.open(data) as picture:
        assert np.array_equal(_plain_jpeg(data.getvalue()), np.asarray(picture))
    assert _plain_jpeg(data.getvalue()[:-9]) is None
    for kept in ({"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}, {"xmp": b"<x/>"}):
        turned = io.BytesIO()
        Image.fromarray(pixels).save(turned, "JPEG", **kept)
        assert _plain_jpeg(turned.getvalue()) is None
