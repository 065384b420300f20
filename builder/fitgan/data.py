"""The real training images of a sealed dataset, decoded into memory → Reals."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from builder.contract import (
    Bytes,
    CheckError,
    Manifest,
    UsageError,
    check_shard,
    decode_image,
    load_index,
)

MIN_IMAGES = 64
MIN_PATIENTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reals:
    """N real training images with their labels, from train patients only."""

    images: Tensor  # uint8 [N, R, R]
    labels: Tensor  # float32 [N, L] in {0, 1}; unknown counts as absent
    pathologies: tuple[str, ...]
    patients: int
    patients_sha256: str  # over the sorted salted hashes: names this split of the patients
    rows_of: tuple[Tensor, ...]  # [≤ L] rows of each pathology that has a positive

    @property
    def unseen(self) -> tuple[str, ...]:
        """The pathologies without a positive."""
        there = self.labels.sum(dim=0) > 0
        return tuple(
            p for p, seen in zip(self.pathologies, there.tolist(), strict=True) if not seen
        )

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """int64 [count] rows with replacement: half uniform, half by a pathology drawn first.

        The second half shows a rare pathology as often as a common one; what the discriminator
        sees and what the generator is asked for are drawn in the same way.
        """
        uniform = torch.randint(len(self.images), (count - count // 2,), generator=random)
        chosen = torch.randint(len(self.rows_of), (count // 2,), generator=random).tolist()
        places = torch.rand(count // 2, generator=random)
        balanced = [
            self.rows_of[c][int(p * len(self.rows_of[c]))]
            for c, p in zip(chosen, places.tolist(), strict=True)
        ]
        return torch.cat([uniform, torch.stack(balanced)]) if balanced else uniform


def load_reals(manifest: Manifest, root: Path, resolution: int) -> Reals:
    """The real images of split train at `resolution` pixels, by averaging blocks of pixels.

    Every shard is checked first. UsageError where there is too little to learn from, or where the
    shards are smaller than the resolution or no multiple of it.
    """
    side = manifest.image.height
    if side < resolution or side % resolution or side != manifest.image.width:
        raise UsageError(
            f"The shards hold {side}×{manifest.image.width} pixels and --resolution asks for "
            f"{resolution}: build them with --image-size {resolution}."
        )
    index = load_index(manifest, root)
    rows = np.flatnonzero((index.split == "train") & (index.origin == "real"))
    patients = sorted(set(index.patient[rows].tolist()))
    if len(rows) < MIN_IMAGES or len(patients) < MIN_PATIENTS:
        raise UsageError(
            f"{manifest.name} has {len(rows)} real training images of {len(patients)} patients: "
            f"a generator needs {MIN_IMAGES} of {MIN_PATIENTS} at the very least."
        )
    _check_memory(len(rows) * resolution**2)
    if not (index.labels[rows] == 1).any():
        raise UsageError(
            f"No real training image of {manifest.name} has a positive label: a conditional "
            "generator needs some."
        )
    images = np.empty((len(rows), resolution, resolution), dtype=np.uint8)
    shards = {s.url: s for s in manifest.shardlist if (s.split, s.origin) == ("train", "real")}
    for url, shard in shards.items():
        mine = np.flatnonzero(index.shard[rows] == url)
        with check_shard(shard, root).open("rb") as file:
            for place in mine.tolist():
                file.seek(int(index.offset[rows[place]]))
                member = file.read(int(index.size[rows[place]]))
                try:
                    images[place] = _reduced(decode_image(member, manifest.image), resolution)
                except ValueError as error:
                    raise CheckError(f"{url}: {index.key[rows[place]]}: {error}.") from None
    labels = torch.from_numpy((index.labels[rows] == 1).astype(np.float32))
    columns = [torch.nonzero(column)[:, 0] for column in labels.T]
    return Reals(
        images=torch.from_numpy(images),
        labels=labels,
        pathologies=manifest.pathologies,
        patients=len(patients),
        patients_sha256=hashlib.sha256("\n".join(patients).encode()).hexdigest(),
        rows_of=tuple(column for column in columns if len(column)),
    )


def _check_memory(needed: int) -> None:
    """Raise UsageError unless the pixels leave half of the machine's memory to the networks."""
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > have // 2:
        raise UsageError(
            f"The training images need {needed >> 20:,} MB and half of this machine's memory is "
            f"{have >> 21:,} MB: use a lower --resolution or a smaller --regime."
        )


def _reduced(pixels: Bytes, resolution: int) -> Bytes:
    factor = len(pixels) // resolution
    if factor == 1:
        return pixels
    blocks = pixels.reshape(resolution, factor, resolution, factor).mean(axis=(1, 3))
    return np.asarray(np.rint(blocks), dtype=np.uint8)
