"""Our own PNG decoder against Pillow's, over every filter, kind and damage."""

import io
import itertools
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import pytest
from PIL import Image

from builder.contract import Bytes, ImageSpec, decode_image, image_decoder, png
from builder.write.encode import encode

SHAPES = [(1, 1), (1, 7), (7, 1), (2, 3), (33, 32), (300, 5), (513, 40)]


def spec(shape: tuple[int, int]) -> ImageSpec:
    return ImageSpec(height=shape[0], width=shape[1], codec="png", quality=0)


def noise(shape: tuple[int, ...], seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def file(
    size: tuple[int, int],
    data: bytes,
    *,
    kind: tuple[int, int] = (8, 0),
    lace: int = 0,
    parts: int = 1,
) -> bytes:
    """A PNG of the filtered rows, its compressed data in several chunks."""
    packed = zlib.compress(data)
    cuts = [len(packed) * i // parts for i in range(parts + 1)]
    body = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in itertools.pairwise(cuts))
    head = struct.pack(">IIBBBBB", size[1], size[0], *kind, 0, 0, lace)
    return png._SIGNATURE + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def filtered(pixels: Bytes, filters: Sequence[int]) -> bytes:
    """Rows with their filters applied, one row after the other, as the specification says it."""
    wide = np.pad(pixels.astype(int), ((1, 0), (1, 0)))
    here, left, above, corner = wide[1:, 1:], wide[1:, :-1], wide[:-1, 1:], wide[:-1, :-1]
    guess = left + above - corner
    near = [abs(guess - left), abs(guess - above), abs(guess - corner)]
    paeth = np.choose(np.argmin(near, axis=0), [left, above, corner])
    minus = [0 * here, left, above, (left + above) // 2, paeth]
    rows = [(here - minus[kind])[i] % 256 for i, kind in enumerate(filters)]
    return b"".join(bytes([kind, *row]) for kind, row in zip(filters, rows, strict=True))


def interlaced(pixels: Bytes) -> bytes:
    """The rows of Adam7's seven passes, unfiltered."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    parts = [pixels[top::down, left::right] for top, left, down, right in [*passes, (1, 0, 2, 1)]]
    return b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)


def by_pillow(data: bytes) -> Bytes:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.fixture
def no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "_by_pillow", None)


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize("shape", SHAPES)
def test_our_own_files_are_decoded_without_pillow(shape: tuple[int, int]) -> None:
    for pixels in (noise(shape), np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        data, out = encode(pixels, spec(shape)), np.zeros((2, *shape), np.uint8)
        assert np.array_equal(decode_image(data, spec(shape)), pixels)
        image_decoder(spec(shape))(data, out[1])
        assert np.array_equal(out[1], pixels)
        assert not out[0].any()


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize("parts", [1, 2, 9])
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_in_several_chunks_need_no_pillow(shape: tuple[int, int], parts: int) -> None:
    pixels = noise(shape)
    data = file(shape, filtered(pixels, [2] * shape[0]), parts=parts)
    assert np.array_equal(decode_image(data, spec(shape)), pixels)
    assert np.array_equal(by_pillow(data), pixels)


@pytest.mark.parametrize("shape", SHAPES)
def test_any_other_png_has_pillows_pixels(shape: tuple[int, int]) -> None:
    for seed in range(5):
        pixels = noise(shape, seed)
        filters = np.random.default_rng(seed).choice([2, 0, 1, 3, 4][: seed + 1], shape[0]).tolist()
        data = file(shape, filtered(pixels, filters), parts=1 + seed)
        assert np.array_equal(decode_image(data, spec(shape)), pixels)
    data = file(shape, interlaced(pixels), lace=1)
    out = np.empty(shape, np.uint8)
    image_decoder(spec(shape))(data, out)
    assert np.array_equal(out, pixels)
    assert np.array_equal(by_pillow(data), out)


@pytest.mark.parametrize(
    "options", [{}, {"compress_level": 0}, {"optimize": True}, {"dpi": (9, 9)}]
)
def test_pillows_own_files_have_pillows_pixels(options: dict[str, object]) -> None:
    ramp = np.add.outer(np.arange(50), np.arange(60)).astype(np.uint8)
    for pixels in (ramp, noise((50, 60)), np.zeros((50, 60), np.uint8)):
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG", **options)
        assert np.array_equal(decode_image(data.getvalue(), spec((50, 60))), pixels)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(noise((9, 9)).astype(np.uint16)),
        Image.fromarray(noise((9, 9, 3))),
        Image.fromarray(noise((9, 9, 4))),
        Image.fromarray(noise((9, 9))).convert("P"),
        Image.fromarray(noise((9, 9))).convert("LA"),
        Image.fromarray(noise((9, 9))).convert("1"),
    ],
    ids=lambda picture: picture.mode,
)
def test_a_png_that_is_not_8_bit_grey_is_refused(picture: Image.Image) -> None:
    data = io.BytesIO()
    picture.save(data, "PNG")
    with pytest.raises(ValueError, match=r"found 9×9 .*, expected 9×9 8-bit grey"):
        decode_image(data.getvalue(), spec((9, 9)))


@pytest.mark.parametrize("shape", [(8, 9), (9, 8), (1, 72)])
def test_another_size_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"found 9×9, expected {shape[0]}×{shape[1]} 8-bit grey"):
        decode_image(encode(noise((9, 9)), spec((9, 9))), spec(shape))


FILES = {
    "ours": encode(noise((9, 7)), spec((9, 7))),
    "Paeth": file((9, 7), filtered(noise((9, 7)), [4] * 9), parts=2),
    "interlaced": file((9, 7), interlaced(noise((9, 7))), lace=1),
}


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_and_a_flipped_bit_are_found(name: str) -> None:
    good = FILES[name]
    for length in range(len(good)):
        with pytest.raises(ValueError, match=r"."):
            decode_image(good[:length], spec((9, 7)))
    for place in range(8 * len(good)):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"."):
            decode_image(bytes(bad), spec((9, 7)))


@pytest.mark.parametrize("name", FILES)
def test_damage_with_right_checksums_is_refused_or_what_pillow_sees(name: str) -> None:
    chunks, random = list(png._chunks(FILES[name])), np.random.default_rng(0)
    for _ in range(1000):
        number = random.integers(len(chunks) - 1)
        forged = [(kind, bytearray(data)) for kind, data in chunks]
        forged[number][1][random.integers(len(forged[number][1]))] ^= 1 << random.integers(8)
        data = png._SIGNATURE + b"".join(chunk(kind, bytes(part)) for kind, part in forged)
        try:
            pixels = decode_image(data, spec((9, 7)))
        except ValueError:
            continue
        assert np.array_equal(pixels, by_pillow(data))


@pytest.mark.parametrize("rows", [8, 10])
def test_rows_too_few_or_too_many_are_refused(rows: int) -> None:
    data = file((9, 7), filtered(noise((rows, 7)), [2] * rows))
    with pytest.raises(ValueError, match="its pixels are not 9 rows of 7"):
        decode_image(data, spec((9, 7)))


def test_no_more_is_inflated_than_an_image_has() -> None:
    bomb = file((9, 7), bytes(200 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="its pixels are not"):
            decode_image(bomb, spec((9, 7)))
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data", [b"", b"junk", png._SIGNATURE, png._SIGNATURE + chunk(b"IEND", b"")]
)
def test_what_is_no_png_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        decode_image(data, spec((9, 7)))


def bare(size: tuple[int, int]) -> bytes:
    """The header chunk of an 8-bit grey PNG."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], 8, 0, 0, 0, 0))


@pytest.mark.parametrize("other", [(1, 1), (2350, 2350), (60_000, 60_000), (9, 7)])
def test_a_second_header_is_never_followed(
    other: tuple[int, int], bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    """Pillow decodes what the last header says, and one pixel would fill a whole image."""
    pixels = noise((9, 7))
    good = file((9, 7), filtered(pixels, [4] * 9))
    after = 8 + len(bare((9, 7)))
    small = zlib.compress(filtered(noise((1, 1)), [0]))
    rest = good[after:] if other == (9, 7) else chunk(b"IDAT", small) + chunk(b"IEND", b"")
    out = np.zeros((9, 7), np.uint8)
    with bearable(), pytest.raises(ValueError, match="it has two PNG headers"):
        image_decoder(spec((9, 7)))(good[:after] + bare(other) + rest, out)
    assert not out.any()


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20))),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200 << 20))),
        chunk(b"tRNS", b""),
        chunk(b"acTL", b""),
        chunk(b"fcTL", bytes(3)),
        chunk(b"gAMA", b""),
        chunk(b"eXIf", b"\xff"),
        chunk(b"PLTE", bytes(3)),
    ],
    ids=lambda data: data[4:8].decode(),
)
def test_no_other_chunk_reaches_pillow(
    extra: bytes, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    pixels = noise((9, 7))
    good = file((9, 7), filtered(pixels, [4] * 9))
    after = 8 + len(bare((9, 7)))
    with bearable():
        found = decode_image(good[:after] + extra + good[after:], spec((9, 7)))
    assert np.array_equal(found, pixels)


def test_damage_that_pillow_trips_over_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(*_: object, **__: object) -> None:
        raise Image.DecompressionBombError("too \x1b[31m large")

    monkeypatch.setattr(Image, "open", trip)
    with pytest.raises(ValueError, match=r"^too .*large$") as caught:
        decode_image(FILES["Paeth"], spec((9, 7)))
    assert str(caught.value).isprintable()
