import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from builder.contract import ImageSpec, Manifest, tar
from builder.share.pixels import check_pixels_alone

PIXELS = np.random.default_rng(3).integers(0, 255, (16, 16), dtype=np.uint8)
JPG = ImageSpec(height=16, width=16, codec="jpg", quality=95)
PNG = ImageSpec(height=16, width=16, codec="png", quality=0)


def jpeg(**options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(PIXELS).save(sink, "JPEG", **options)
    return sink.getvalue()


def png(**options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(PIXELS).save(sink, "PNG", **options)
    return sink.getvalue()


def note() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("patient", "13")
    return info


def test_what_the_line_writes_holds_pixels_alone(sealed_once: Path, manifest: Manifest) -> None:
    for shard in manifest.shardlist:
        for member in tar.walk(sealed_once / shard.url, manifest.image.codec, 10**6):
            check_pixels_alone(member.image, manifest.image)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_every_kind_of_plain_jpeg_passes(options: dict[str, object]) -> None:
    check_pixels_alone(jpeg(**options), JPG)


def test_a_plain_png_passes() -> None:
    check_pixels_alone(png(), PNG)


@pytest.mark.parametrize(
    ("data", "image", "extra"),
    [
        (jpeg(comment=b"patient 13"), JPG, "a segment 0xfe"),
        (jpeg(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"), JPG, "a segment 0xe1"),
        (jpeg() + b"patient 13", JPG, "bytes after the end"),
        (jpeg()[:-2], JPG, "no end"),
        (png(pnginfo=note()), PNG, "a chunk b'tEXt'"),
        (png() + b"patient 13", PNG, "bytes after the end"),
    ],
    ids=["comment", "exif", "behind jpeg", "cut", "text", "behind png"],
)
def test_anything_beside_the_pixels_is_refused(data: bytes, image: ImageSpec, extra: str) -> None:
    with pytest.raises(ValueError, match=extra):
        check_pixels_alone(data, image)


def test_other_pixels_than_the_manifests_are_refused() -> None:
    with pytest.raises(ValueError, match="16×16"):
        check_pixels_alone(png(), ImageSpec(height=8, width=8, codec="png", quality=0))
