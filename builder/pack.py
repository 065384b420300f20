"""Real radiographs as the same uint8 [H, W] pixels, through the same writer.

The demo's "radiographs" are phantoms of the row's own labels; they come from here too, so that
nothing after this step knows the difference. The manifest says it.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from builder.contract import Bytes, Sample
from builder.draw import latents
from builder.generators import load
from builder.labels import LabelTable
from builder.render import BATCH, Picture, condition, resize

_DEMO_SEED = 2021  # the demo is one dataset: its images do not change with the build's seed


@dataclass(frozen=True, slots=True, kw_only=True)
class BadImage:
    """A real image that cannot be packed, in place of its pixels."""

    image: str  # its path below the root
    reason: str


def real_samples(table: LabelTable, rows: Sequence[int], split: str, seed: int) -> Iterator[Sample]:
    """The samples of the table's `rows`, without pixels.

    Keys and patients are hashes keyed by seed and the table's content: whoever has the table can
    link them, as they can link the images themselves; the manifest alone does not suffice.
    """
    salt = hashlib.blake2b(str(seed).encode(), key=table.salt, digest_size=32).digest()

    def hashed(word: str) -> str:
        return hashlib.blake2b(word.encode(), digest_size=8, key=salt).hexdigest()

    part = table.rows.iloc[list(rows)]
    for image, patient, labels in zip(
        part["image"], part["patient"], table.labels[list(rows)].tolist(), strict=True
    ):
        yield Sample(
            key=f"real-{hashed(image)}",
            split=split,
            origin="real",
            target="",
            draw=-1,
            patient=hashed(patient),
            labels=tuple(labels),
        )


def pack_files(
    samples: Sequence[Sample], *, root: Path, names: Sequence[str], image_size: int
) -> Iterator[Picture | BadImage]:
    """The picture of each sample's file in order, uint8 [image_size, image_size], or why not."""
    for sample, name in zip(samples, names, strict=True):
        try:
            yield Picture(sample=sample, pixels=read_radiograph(root / name, image_size))
        except ValueError as error:
            yield BadImage(image=name, reason=str(error))


def pack_phantoms(
    samples: Sequence[Sample],
    *,
    numbers: Sequence[int],
    pathologies: Sequence[str],
    image_size: int,
) -> Iterator[Picture]:
    """The demo's radiographs: phantoms of the samples' labels; `numbers` are their table rows."""
    phantom = load("phantom", image_size)
    shown = condition(samples, pathologies, phantom.labels)
    for start in range(0, len(samples), BATCH):
        rows = slice(start, start + BATCH)
        anatomy = latents(numbers[rows], phantom.latent_size, seed=_DEMO_SEED, name="demo patient")
        for sample, pixels in zip(samples[rows], phantom(anatomy, shown[rows]), strict=True):
            yield Picture(sample=sample, pixels=pixels)


def read_radiograph(file: Path, image_size: int) -> Bytes:
    """uint8 [image_size, image_size]: grey, centre crop to a square, Lanczos.

    ValueError says why a file is no radiograph.
    """
    if not file.is_file():
        raise ValueError("missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                grey = _eight_bit(picture)
    except UnidentifiedImageError:
        raise ValueError("neither PNG nor JPEG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("more pixels than any radiograph has") from None
    except (OSError, SyntaxError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    height, width = grey.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(np.ascontiguousarray(grey[top : top + side, left : left + side]), image_size)
    if square.min() == square.max():
        raise ValueError("every pixel is the same")
    return square


def _eight_bit(picture: Image.Image) -> Bytes:
    """uint8 [H, W]; 16-bit greys are scaled by their full range, which convert("L") would clip."""
    if picture.mode.startswith("I"):
        return (np.asarray(picture).astype(np.float32) / 257.0 + 0.5).clip(0, 255).astype(np.uint8)
    return np.asarray(picture.convert("L"))
