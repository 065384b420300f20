"""Geometry and codec of a dataset's images, and one image member into its pixels."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast

from msgspec import Meta

from builder.contract.png import Bytes, decode_png

MAX_SIDE = 4096  # pixels

Codec = Literal["jpg", "png"]
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """Geometry and codec of every image in a dataset: 8-bit grey, `height` × `width` pixels."""

    height: Side
    width: Side
    codec: Codec
    quality: Annotated[int, Meta(ge=0, le=100)]  # of JPEG; 0 where the codec is lossless

    @property
    def max_bytes(self) -> int:
        """The largest image member that is accepted: noise at JPEG quality 100 stays below it."""
        return 2 * self.height * self.width + 4096


def decode_image(data: bytes, image: ImageSpec, out: Bytes | None = None) -> Bytes:
    """uint8 [H, W] pixels of one image member, in `out` if given; ValueError if it is no image.

    The size in the header is checked before any pixel is decoded.
    """
    shape = (image.height, image.width)
    if image.codec == "png":
        return decode_png(data, shape, out)
    import simplejpeg

    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    if (height, width) != shape or colours.lower() != "gray":
        found = f"{height}×{width} {colours}"
        raise ValueError(f"found {found}, expected {shape[0]}×{shape[1]} 8-bit grey")
    buffer = None if out is None else out[:, :, None]
    pixels = cast(Bytes, simplejpeg.decode_jpeg(data, "GRAY", buffer=buffer))[:, :, 0]
    return pixels if out is None else out
