"""Near-copies of a real training image: what a generator that memorises gives away."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from builder.checks.check import Context, Judge, fraction
from builder.checks.similarity import (
    Greys,
    Reals,
    Thumbs,
    correlations,
    pixel_correlations,
    reductions,
    thumbs,
)
from builder.contract import Bytes, ImageSpec, Sample, Split, UsageError, decode_image
from builder.contract.tar import Member

Item = tuple[Path, Member]

_BLOCK = 256
_COMPARED = 8192  # training images at a time, so that a table of them takes little memory


@dataclass(frozen=True, slots=True)
class Copy:
    """The check `copy` or `copy:FRACTION`.

    Rejects an image that is more similar to its most similar training image, reduced and pixel by
    pixel, than all but FRACTION (0.01) of the held-out real images are to theirs.
    """

    identity: str
    fraction: float
    needs: tuple[Split, ...] = ("train", "val")

    def check_held_out(self, images: int) -> None:
        """Raise UsageError unless val has enough images to know what is unusual."""
        if images * self.fraction < 1:
            raise UsageError(
                f"{self.identity} needs {int(np.ceil(1 / self.fraction))} held-out images to know "
                f"what is unusual and val has {images}: use a larger --holdout, or a larger "
                "fraction."
            )

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:  # noqa: ARG002
        """A judge that holds the reductions of the training images, and reads the images again."""
        training = self._training_images(context)
        similarity = [
            training.nearest(context.pixels([member for _, member in block]))
            for block in _blocks(context.members("val"))
        ]
        held_out = np.concatenate(similarity, axis=1)
        self.check_held_out(held_out.shape[1])
        limits = np.quantile(held_out, 1 - self.fraction, axis=1)
        return _Judge(training, max_reduced=float(limits[0]), max_pixels=float(limits[1]))

    def _training_images(self, context: Context) -> "_TrainingImages":
        """Reduce the training images once, into a file for all processes."""
        places: list[tuple[int, int, int]] = []
        files: list[Path] = []
        reduced: list[Greys] = []
        for block in _blocks(context.members("train")):
            for path, member in block:
                if not files or files[-1] != path:
                    files.append(path)
                places.append((len(files) - 1, member.offset, len(member.image)))
            reduced.append(reductions(context.pixels([member for _, member in block])))
        table = context.scratch / f"copy-{self.fraction!r}.npy"
        np.save(table, np.concatenate(reduced))
        return _TrainingImages(
            table, tuple(files), np.array(places, dtype=np.int64), context.layout.image
        )


def load(argument: str) -> Copy:
    """The check; UsageError where the argument is no fraction."""
    share = fraction("copy", argument, "0.01")
    return Copy(identity=f"copy:{share!r}", fraction=share)


@dataclass(frozen=True, slots=True, eq=False)
class _TrainingImages:
    """The training images: their reductions in a file, and where each image lies."""

    table: Path
    files: tuple[Path, ...]
    places: npt.NDArray[np.int64]  # [N, 3]: file, offset, size
    image: ImageSpec

    def nearest(self, images: Bytes) -> Reals:
        """float64 [2, N]: correlation of reductions and of pixels with the most similar image."""
        ours, trained = thumbs(reductions(images)), _mapped(self.table)
        best, place = np.full(len(images), -np.inf), np.zeros(len(images), dtype=np.int64)
        for start in range(0, len(self.places), _COMPARED):
            similarity = correlations(ours, trained[start : start + _COMPARED])
            found = similarity.max(axis=1)
            place = np.where(found > best, start + similarity.argmax(axis=1), place)
            best = np.maximum(best, found)
        theirs = np.stack([self._read(*self.places[i].tolist()) for i in place])
        return np.stack([best, pixel_correlations(images, theirs)])

    def _read(self, file: int, offset: int, size: int) -> Bytes:
        with self.files[file].open("rb") as shard:
            shard.seek(offset)
            return decode_image(shard.read(size), self.image)


@dataclass(frozen=True, slots=True)
class _Judge:
    training: _TrainingImages
    max_reduced: float
    max_pixels: float

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> list[str]:  # noqa: ARG002
        reduced, pixels = self.training.nearest(images)
        near = (reduced > self.max_reduced) & (pixels > self.max_pixels)
        reason = "it is a near-copy of a real training image"
        return [reason if is_near else "" for is_near in near.tolist()]


@lru_cache(maxsize=2)
def _mapped(table: Path) -> Thumbs:
    """The reductions in a file, whose memory all processes share."""
    greys: Greys = np.load(table, mmap_mode="r")
    return thumbs(greys)


def _blocks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while block := list(islice(items, _BLOCK)):
        yield block
