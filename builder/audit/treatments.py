"""What is done to both sets before they are compared once more: what then still tells them apart?

Blur and rescaling take fine texture away, encoding covers the traces of an earlier codec. What is
left lies in the coarse shape and greys.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from builder.audit.features import Treat
from builder.contract import Bytes
from builder.contract.cores import usable_cores

BLUR = 1.5  # pixels: the standard deviation of the blur
QUALITY = 75  # of the JPEG


def _blurred(image: Bytes) -> Bytes:
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(BLUR)))


def _encoded(image: Bytes) -> Bytes:
    import simplejpeg

    data = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image)[:, :, None], quality=QUALITY, colorspace="GRAY"
    )
    pixels: Bytes = simplejpeg.decode_jpeg(data, "GRAY")[:, :, 0]
    return pixels


def _rescaled(image: Bytes) -> Bytes:
    from PIL import Image

    height, width = image.shape
    half = (max(1, width // 2), max(1, height // 2))
    small = Image.fromarray(image).resize(half, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def _each(change: Callable[[Bytes], Bytes]) -> Treat:
    def treat(images: Bytes) -> Bytes:
        with ThreadPoolExecutor(usable_cores()) as threads:
            return np.stack(list(threads.map(change, images)))

    return treat


TREATMENTS: Mapping[str, Treat | None] = {
    "none": None,
    "blurred": _each(_blurred),  # Gaussian, 1.5 pixels
    "re-encoded": _each(_encoded),  # JPEG at quality 75
    "rescaled": _each(_rescaled),  # to half the size and back
}
