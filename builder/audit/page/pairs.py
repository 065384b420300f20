"""Suspects → pictures next to each other: the synthetic image, and the one that it repeats."""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from builder.audit.pictures import Pictures
from builder.contract import Bytes
from builder.contract.audit import Suspect

MAX_SIDE = 256  # pixels of a picture on the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A suspect with both images, as PNG files."""

    suspect: Suspect
    image: bytes
    of: bytes


def pairs_of(
    suspects: Sequence[Suspect], images: Pictures, others: Pictures, limit: int
) -> tuple[Pair, ...]:
    """The first suspects with their images; `others` holds the images that they repeat.

    One whose key is not among them has no pair.
    """
    shown = suspects[:limit]
    left = _files(images, {each.key for each in shown})
    right = _files(others, {each.of for each in shown})
    return tuple(
        Pair(suspect=each, image=left[each.key], of=right[each.of])
        for each in shown
        if each.key in left and each.of in right
    )


def src(png: bytes) -> str:
    """A PNG file as the address of an image."""
    return f"data:image/png;base64,{b64encode(png).decode()}"


def _files(pictures: Pictures, keys: set[str]) -> Mapping[str, bytes]:
    """Key → PNG file of those images."""
    chosen = pictures.take(np.flatnonzero(np.isin(pictures.keys, [*keys])))
    files = [_png(image) for block in chosen.blocks() for image in block]
    return dict(zip(chosen.keys, files, strict=True))


def _png(image: Bytes) -> bytes:
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
