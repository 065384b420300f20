"""The real training images of a sealed dataset, decoded into memory → Reals."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from builder.contract import (
    Bytes,
    CheckError,
    Index,
    Manifest,
    UsageError,
    check_shard,
    decode_image,
)

MIN_IMAGES = 64
MIN_PATIENTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reals:
    """N real training images with their labels, of train patients only."""

    images: Tensor  # uint8 [N, R, R]
    labels: Tensor  # float32 [N, L] in {0, 1}; unknown counts as absent
    pathologies: tuple[str, ...]
    patients: int  # how many
    patients_sha256: str  # over the sorted salted hashes: identifies this set of patients
    rows_of: tuple[Tensor, ...]  # int64 rows of each pathology that has a positive; at most L

    @property
    def unseen(self) -> tuple[str, ...]:
        """The pathologies without a positive."""
        has_positive = (self.labels.sum(dim=0) > 0).tolist()
        return tuple(p for p, seen in zip(self.pathologies, has_positive, strict=True) if not seen)

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """int64 [count] rows with replacement: half uniform, half by a pathology drawn first.

        The second half shows a rare pathology as often as a common one. The real images and the
        labels that the generator gets are drawn in the same way.
        """
        uniform = torch.randint(len(self.images), (count - count // 2,), generator=random)
        chosen = torch.randint(len(self.rows_of), (count // 2,), generator=random).tolist()
        places = torch.rand(count // 2, generator=random)
        balanced = [
            self.rows_of[c][int(p * len(self.rows_of[c]))]
            for c, p in zip(chosen, places.tolist(), strict=True)
        ]
        return torch.cat([uniform, torch.stack(balanced)]) if balanced else uniform


def load_reals(manifest: Manifest, index: Index, root: Path, resolution: int) -> Reals:
    """The real images of split train at `resolution` pixels, by averaging blocks of pixels.

    `index` is the manifest's own; the urls of its shards are relative to `root`. Every shard is
    checked first: CheckError where one is not as sealed. UsageError where there are too few images,
    patients or positives, too little memory, or where the shards' images are smaller than the
    resolution or not a multiple of it.
    """
    _check_size(manifest, resolution)
    rows = np.flatnonzero((index.split == "train") & (index.origin == "real"))
    patients = sorted(set(index.patient[rows].tolist()))
    if len(rows) < MIN_IMAGES or len(patients) < MIN_PATIENTS:
        raise UsageError(
            f"{manifest.name} has {len(rows)} real training images of {len(patients)} patients: "
            f"a generator needs at least {MIN_IMAGES} of {MIN_PATIENTS}."
        )
    _check_memory(len(rows) * resolution**2)
    positive = index.labels[rows] == 1
    if not positive.any():
        raise UsageError(
            f"No real training image of {manifest.name} has a positive label: a conditional "
            "generator needs some."
        )
    labels = torch.from_numpy(positive.astype(np.float32))
    columns = [torch.nonzero(column)[:, 0] for column in labels.T]
    return Reals(
        images=torch.from_numpy(_read_images(manifest, index, rows, root, resolution)),
        labels=labels,
        pathologies=manifest.pathologies,
        patients=len(patients),
        patients_sha256=hashlib.sha256("\n".join(patients).encode()).hexdigest(),
        rows_of=tuple(column for column in columns if len(column)),
    )


def _check_size(manifest: Manifest, resolution: int) -> None:
    height, width = manifest.image.height, manifest.image.width
    if height < resolution or height % resolution or height != width:
        raise UsageError(
            f"The shards hold {height}×{width} pixels and --resolution asks for "
            f"{resolution}: build them with --image-size {resolution}."
        )


def _check_memory(needed: int) -> None:
    """Raise UsageError unless the pixels leave half of the machine's memory to the networks."""
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > have // 2:
        raise UsageError(
            f"The training images need {needed >> 20:,} MB and half of this machine's memory is "
            f"{have >> 21:,} MB: use a lower --resolution or a smaller --regime."
        )


def _read_images(
    manifest: Manifest, index: Index, rows: npt.NDArray[np.int64], root: Path, resolution: int
) -> Bytes:
    """uint8 [N, R, R] of these rows of the index, from shards that were checked."""
    images = np.empty((len(rows), resolution, resolution), dtype=np.uint8)
    for shard in manifest.shardlist:
        if (shard.split, shard.origin) != ("train", "real"):
            continue
        places = np.flatnonzero(index.shard[rows] == shard.url)
        with check_shard(shard, root).open("rb") as file:
            for place in places.tolist():
                file.seek(int(index.offset[rows[place]]))
                member = file.read(int(index.size[rows[place]]))
                try:
                    images[place] = _reduced(decode_image(member, manifest.image), resolution)
                except ValueError as error:
                    key = index.key[rows[place]]
                    raise CheckError(f"{shard.url}: {key}: {error}.") from None
    return images


def _reduced(pixels: Bytes, resolution: int) -> Bytes:
    """The means of blocks of pixels, rounded: uint8 [R, R]."""
    factor = len(pixels) // resolution
    if factor == 1:
        return pixels
    blocks = pixels.reshape(resolution, factor, resolution, factor).mean(axis=(1, 3))
    return np.asarray(np.rint(blocks), dtype=np.uint8)
