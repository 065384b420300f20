import hashlib
import io
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.contract import Bytes, ImageSpec
from builder.write.encode import encode


def spec(side: int, codec: str) -> ImageSpec:
    return ImageSpec(height=side, width=side, codec=codec, quality=95 if codec == "jpg" else 0)


def smooth(side: int) -> Bytes:
    ramp = np.add.outer(np.arange(side), np.arange(side)) * 255 / (2 * side)
    return (ramp + np.random.default_rng(0).normal(0, 2, ramp.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [1, 2, 33, 224])
@pytest.mark.parametrize("make", [smooth, lambda side: np.full((side, side), 255, np.uint8)])
def test_png_keeps_every_pixel(side: int, make: Callable[[int], Bytes]) -> None:
    pixels = make(side)
    with Image.open(io.BytesIO(encode(pixels, spec(side, "png")))) as picture:
        picture.load()
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (side, side))
        assert np.array_equal(np.asarray(picture), pixels)


def test_png_chunks_have_their_checksums() -> None:
    data = encode(smooth(32), spec(32, "png"))
    place, kinds = 8, []
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        checksum = int.from_bytes(data[place + 8 + size : place + 12 + size], "big")
        assert zlib.crc32(kind + body) == checksum
        kinds.append(kind)
        place += 12 + size
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_png_is_about_as_small_as_pillows() -> None:
    pixels = smooth(224)
    theirs = io.BytesIO()
    Image.fromarray(pixels).save(theirs, "PNG")
    assert len(encode(pixels, spec(224, "png"))) < 1.2 * theirs.tell()


def test_jpeg_is_grey_and_close() -> None:
    pixels = smooth(64)
    with Image.open(io.BytesIO(encode(pixels, spec(64, "jpg")))) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "L")
        assert np.abs(np.asarray(picture).astype(int) - pixels).mean() < 2


@pytest.mark.parametrize(
    ("codec", "sha256"),
    [
        ("png", "c8c1f585dddafbc3c6e2c4464d7748211b91da45328726d4a1516a8acfb8fb20"),
        ("jpg", "46c85da54d59de039dc3e43f071b376137887ca111c670fc7e1685fd30345147"),
    ],
)
def test_bytes_are_those_of_every_processor(codec: str, sha256: str) -> None:
    """Seen on a processor with AVX2, and on emulated ones with AVX and with SSE4.2 at most."""
    steps = np.random.Philox(7).random_raw(200 * 224).reshape(200, 224) % 5
    pixels = (steps.cumsum(axis=0) // 3 % 256).astype(np.uint8)
    image = ImageSpec(height=200, width=224, codec=codec, quality=95 if codec == "jpg" else 0)
    assert hashlib.sha256(encode(pixels, image)).hexdigest() == sha256


ENCODE = """
import hashlib, sys
import numpy as np
from builder.contract import ImageSpec
from builder.write.encode import encode
spec = ImageSpec(height=224, width=224, codec="png", quality=0)
print(*(hashlib.sha256(encode(image, spec)).hexdigest() for image in np.load(sys.argv[1])))
"""


@pytest.mark.parametrize(
    "processes", [4, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.long])]
)
def test_png_has_the_same_bytes_in_every_process(tmp_path: Path, processes: int) -> None:
    """Bytes that differ in 3 of 100 processes, as ISA-L's do, are found by 40 in one run of three.

    Forked processes would not do: what differs is fixed where a process starts.
    """
    images, random = smooth(224), np.random.default_rng(1)
    noise = random.normal(0, 2, (300, *images.shape))
    np.save(tmp_path / "images.npy", (images + noise).clip(0, 255).astype(np.uint8))
    command = [sys.executable, "-c", ENCODE, str(tmp_path / "images.npy")]
    found = {subprocess.check_output(command, text=True) for _ in range(processes)}
    assert len(found) == 1
    assert len(set(found.pop().split())) == 300
