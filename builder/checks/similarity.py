"""How similar two radiographs are: the correlation of their reductions, and of their pixels."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from builder.contract import Bytes

Floats = npt.NDArray[np.float32]

_THUMB = 16  # pixels on a side: anatomy and pose without noise


def thumbs(images: Bytes) -> Floats:
    """float32 [N, 256]: 16×16 reductions of uint8 [N, H, W], each with mean 0 and length 1."""
    size = (_THUMB, _THUMB)
    small = [
        np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images
    ]
    return normal(np.stack(small))


def normal(images: Bytes) -> Floats:
    """float32 [N, H·W]: each image with mean 0 and length 1, so that a product is a correlation."""
    rows: Floats = images.reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, length, out=rows, where=length > 0)
    return rows
