import zlib
from dataclasses import replace

import numpy as np
import pytest
import simplejpeg

from builder.contract import ImageSpec, decode_image, image_decoder
from builder.write.encode import encode

JPG = ImageSpec(height=32, width=32, codec="jpg", quality=95)
PNG = ImageSpec(height=32, width=32, codec="png", quality=0)


def test_a_picture_of_gigapixels_and_a_colour_jpeg_are_refused() -> None:
    header = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    chunk = len(header[4:]).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    with pytest.raises(ValueError, match=r"."):
        decode_image(b"\x89PNG\r\n\x1a\n" + chunk, PNG)
    colour = simplejpeg.encode_jpeg(np.zeros((32, 32, 3), np.uint8), colorspace="RGB")
    with pytest.raises(ValueError, match="8-bit grey"):
        decode_image(colour, JPG)


@pytest.mark.parametrize("spec", [JPG, PNG], ids=["jpg", "png"])
def test_images_decode_into_a_given_array_and_others_are_refused(spec: ImageSpec) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    data = encode(pixels, spec)
    assert len(data) <= spec.max_bytes
    out = np.zeros((3, 32, 32), dtype=np.uint8)
    image_decoder(spec)(data, out[1])
    assert np.array_equal(out[1], decode_image(data, spec))
    assert out[1].any()
    assert not out[[0, 2]].any()
    if spec is PNG:
        assert np.array_equal(out[1], pixels)
    small = replace(spec, height=16, width=16)
    for bad in (encode(pixels[:16, :16], small), data[: len(data) // 2], b"junk", b""):
        with pytest.raises(ValueError, match=r"."):
            decode_image(bad, spec)


def test_a_header_is_checked_again_where_it_differs_from_the_one_before() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    good, out = encode(pixels, JPG), np.empty((32, 32), np.uint8)
    narrow = encode(np.ascontiguousarray(pixels[:16]).reshape(16, 32), replace(JPG, height=16))
    flat = encode(pixels.reshape(16, 64), replace(JPG, height=16, width=64))
    colour = simplejpeg.encode_jpeg(pixels[:, :, None].repeat(3, 2), colorspace="RGB")
    frame = flat.index(b"\xff\xc0")
    twice = good[: good.index(b"\xff\xda")] + flat[frame : frame + 13] + good[-400:]
    decode = image_decoder(JPG)
    for _ in range(2):
        decode(good, out)
        assert np.array_equal(out, simplejpeg.decode_jpeg(good, "GRAY")[:, :, 0])
        decode(encode(pixels, replace(JPG, quality=70)), out)
        for bad in (narrow, flat, colour, twice, b"", b"\xff\xd8", good[:90], good[:200]):
            with pytest.raises(ValueError, match=r"."):
                decode(bad, out)


@pytest.mark.parametrize("side", [16, 64, 224])
def test_the_size_limit_admits_noise_at_any_quality(side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (side, side), dtype=np.uint8)
    for spec in (replace(JPG, quality=100), PNG):
        spec = replace(spec, height=side, width=side)
        assert len(encode(pixels, spec)) <= spec.max_bytes
