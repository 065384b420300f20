"""The images that an audit looks at, read from sealed shards and from nowhere else.

Every judge gets the same `Pictures`: who they are (columns of the index), a reduction of each to at
most 64×64 pixels, which is made once and lies in a file, and the pixels themselves block by block.
Memory is bounded: whatever the number of images, no more than a block of them is decoded at once.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt

from builder.contract import (
    Bytes,
    CheckError,
    Index,
    Labels,
    Manifest,
    UsageError,
    check_shard,
    dataset_root,
    decode_image,
    index_root,
    load_index,
    load_manifest,
)
from builder.progress import Advance, Progress

SIDE = 64  # pixels; longer sides are reduced to it
BLOCK = 256  # images

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sealed:
    """A dataset whose shards have been compared with its manifest."""

    manifest: Manifest
    root: Path
    index: Index

    def with_pathologies(self, names: Sequence[str]) -> "Sealed":
        """The same images with these of its pathologies alone, in this order.

        Its manifest is then no longer the one on disk: ask that one for the digest.
        """
        columns = [self.manifest.pathologies.index(name) for name in names]
        return Sealed(
            manifest=replace(self.manifest, pathologies=tuple(names)),
            root=self.root,
            index=replace(self.index, labels=self.index.labels[:, columns]),
        )

    def rows(self, origin: str, splits: Sequence[str]) -> Rows:
        """int64 [N]: the rows of the index of that origin in those splits, in sealed order."""
        mine = (self.index.origin == origin) & np.isin(self.index.split, splits)
        return np.flatnonzero(mine)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """N images of one dataset, in the order of `rows`."""

    sealed: Sealed
    rows: Rows  # [N] of the index
    reduced: Bytes  # [N, H, W], each side at most SIDE; it may be mapped from a file

    def __len__(self) -> int:
        """The number of images."""
        return len(self.rows)

    @property
    def keys(self) -> npt.NDArray[np.object_]:
        """[N] keys."""
        return self.sealed.index.key[self.rows]

    @property
    def labels(self) -> Labels:
        """int8 [N, L] in {1, 0, -1}; columns as in the manifest's pathologies."""
        return self.sealed.index.labels[self.rows]

    @property
    def patients(self) -> npt.NDArray[np.object_]:
        """[N] salted hashes; a synthetic image has its own key, since it shows no patient."""
        hashes = self.sealed.index.patient[self.rows]
        return np.where(hashes == "", self.keys, hashes)

    def group(self, name: str) -> npt.NDArray[np.object_]:
        """[N] words of the index's column view, sex or age; "" where unknown."""
        found: npt.NDArray[np.object_] = getattr(self.sealed.index, name)[self.rows]
        return found

    def take(self, chosen: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Pictures":
        """The chosen ones: positions among these, or a mask of them."""
        return Pictures(sealed=self.sealed, rows=self.rows[chosen], reduced=self.reduced[chosen])

    def blocks(self, size: int = BLOCK) -> Iterator[Bytes]:
        """uint8 [n, H, W], n at most `size`: the images themselves, in order."""
        with ThreadPoolExecutor() as threads:
            for start in range(0, len(self), size):
                rows = self.rows[start : start + size]
                yield np.stack(list(threads.map(lambda row: read_image(self.sealed, row), rows)))


def open_sealed(path: Path, root: Path | None = None, advance: Advance = lambda _: None) -> Sealed:
    """The dataset of the manifest at `path`; CheckError where a shard is missing or another.

    `root` is where the shards are, if not beside the manifest; `advance` is called with the number
    of samples whose shard has been compared.
    """
    manifest = load_manifest(path)
    index = load_index(manifest, index_root(manifest, path, root))
    place = root or dataset_root(path)
    for shard in manifest.shardlist:
        check_shard(shard, place)
        advance(shard.nsamples)
    return Sealed(manifest=manifest, root=place, index=index)


def read_pictures(sealed: Sealed, rows: Rows, scratch: Path, show: Progress) -> Pictures:
    """The images in those rows, their reductions in a file in the folder `scratch`.

    The file has no name and is gone when they or the process are, however that ends. A reduction is
    Pillow's box filter: mean greys of areas. An image of at most 64 pixels a side stays as it is.
    """
    spec = sealed.manifest.image
    shape = (len(rows), min(spec.height, SIDE), min(spec.width, SIDE))
    reduced = _file_in(scratch, shape)
    with show("reading", len(rows)) as advance, ThreadPoolExecutor() as threads:
        edges = [*range(0, len(rows), BLOCK), len(rows)]
        for start, end in pairwise(edges):
            images = threads.map(
                lambda row: resized(read_image(sealed, row), *shape[1:], "BOX"), rows[start:end]
            )
            reduced[start:end] = list(images)
            advance(end - start)
    return Pictures(sealed=sealed, rows=rows, reduced=reduced)


def _file_in(folder: Path, shape: tuple[int, int, int]) -> Bytes:
    """uint8 of that shape, mapped from a new file; UsageError where the disk is too small for it.

    Its bytes are claimed at once: a disk that fills up later would end the process by a signal.
    """
    size = math.prod(shape)
    if not size:
        return np.empty(shape, np.uint8)
    with TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise UsageError(
                f"{folder} has no room for {size / 2**20:,.0f} MB of reduced images "
                f"({error.strerror}): make room, or give another folder by --out."
            ) from None
        return np.memmap(file, np.uint8, "r+", shape=shape)


def read_image(sealed: Sealed, row: int) -> Bytes:
    """uint8 [H, W]: the image in one row of the index; CheckError where there is none."""
    index, url = sealed.index, str(sealed.index.shard[row])
    with (sealed.root / url).open("rb") as file:
        file.seek(int(index.offset[row]))
        data = file.read(int(index.size[row]))
    try:
        return decode_image(data, sealed.manifest.image)
    except ValueError as error:
        raise CheckError(f"{url}, sample {index.key[row]}: {error}.") from None


def resized(image: Bytes, height: int, width: int, how: str) -> Bytes:
    """uint8 [height, width] by a filter of Pillow such as BOX; the image if it has that size."""
    if image.shape == (height, width):
        return image
    from PIL import Image

    small = Image.fromarray(image).resize((width, height), Image.Resampling[how])
    return np.asarray(small)
