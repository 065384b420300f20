"""A split of a sealed dataset as a webdataset.DataPipeline over shards that were checked.

webdataset's openers run shell commands and its decoders unpickle, so neither is used: images are
read by the sealed index and decoded by us. Splitting, batching and every later stage are its own.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
import webdataset
from webdataset.utils import pytorch_worker_info

from builder.contract import ORIGINS, Origin, Split, UsageError
from builder.store import is_url
from trainer.stream.opened import OpenedSplit, Where
from trainer.stream.order import random_words

# A shard and a decoded sample, with webdataset's own names for what it has a name for.
Shard = TypedDict("Shard", {"__url__": str, "number": int})  # number in the manifest's list
WebSample = TypedDict(
    "WebSample",
    {
        "__key__": str,
        "__url__": str,
        "pixel_values": torch.Tensor,  # uint8 [1, H, W]
        "labels": torch.Tensor,  # float32 [L] in {1, 0, nan}; nan = unknown
    },
)


class SealedPipeline(webdataset.DataPipeline):  # type: ignore[misc]
    """A DataPipeline over one split of a sealed dataset; epochs count from 0."""

    def __init__(self, split: OpenedSplit, seed: int) -> None:
        """Shards, the share of them of each rank and worker, and their samples."""
        super().__init__(
            _Source(split, seed),
            webdataset.split_by_node,
            webdataset.split_by_worker,
            _Samples(split, seed),
        )
        self.split = split

    def set_epoch(self, epoch: int) -> None:
        """Show the training images in the order of that epoch from now on, in all workers."""
        self.split.epoch = epoch


@dataclass(frozen=True, slots=True)
class _Source:
    """The shards of the epoch, one origin after the other; each origin's in a random order.

    So of every stride of shards, as ranks and workers take them, each gets some of both origins.
    """

    split: OpenedSplit
    seed: int

    def __call__(self) -> Iterator[Shard]:
        data, where = self.split.data, self.split.where
        found = []
        for origin in ORIGINS if where.origin is None else (where.origin,):
            numbers = np.unique(data.shard[data.rows(where.split, origin)])
            if where.split == "train":
                key = ("tars", data.manifest.digest, self.seed, origin, self.split.epoch)
                numbers = numbers[np.argsort(random_words(len(numbers), *key))]
            found += numbers.tolist()
        if (ranks := pytorch_worker_info()[1]) > len(found):
            raise UsageError(
                f"{len(found)} shards cannot be divided among {ranks} ranks: use StreamDataset,"
                " which divides every batch."
            )
        for number in found:
            yield {"__url__": data.manifest.shardlist[number].url, "number": number}


@dataclass(frozen=True, slots=True)
class _Samples:
    """The samples of some shards: training images shuffled and their origins mixed evenly."""

    split: OpenedSplit
    seed: int

    def __call__(self, shards: Iterator[Shard]) -> Iterator[WebSample]:
        numbers = [shard["number"] for shard in shards]
        if not numbers:  # more workers than shards
            return
        split, index = self.split, self.split.data.index
        if split.where.split == "train":
            rows = split.order(self.seed, numbers).epoch(split.epoch + 1)
        else:
            rows = np.flatnonzero(np.isin(split.data.shard, numbers))
        with closing(split.samples(rows)) as samples:
            for row, sample in zip(rows.tolist(), samples, strict=True):
                yield {
                    "__key__": sample["key"],
                    "__url__": index.shard[row],
                    "pixel_values": sample["pixel_values"],
                    "labels": sample["labels"],
                }


def webdataset_pipeline(
    manifest: str | Path,
    split: Split = "train",
    *,
    origin: Origin | None = None,
    seed: int = 0,
    threads: int = 2,
    shards_root: str | Path | None = None,
) -> SealedPipeline:
    """A ready pipeline of decoded samples (`WebSample`), to add stages to or to give to WebLoader.

    The shards of the split are checked now; CheckError names one that is not the one sealed. They
    are divided among ranks and workers, and training images shuffled by `seed` and epoch. Held-out
    images come in sealed order. `threads` decode in each process. UsageError for a URL.
    """
    for place in (manifest, shards_root):
        if place is not None and is_url(str(place)):
            raise UsageError(
                f"webdataset_pipeline reads local files, not {place}: copy the"
                " dataset here first, or use StreamDataset."
            )
    where = Where(
        manifest=str(manifest),
        split=split,
        origin=origin,
        shards_root=None if shards_root is None else str(shards_root),
        cache=None,
        threads=threads,
    )
    return SealedPipeline(OpenedSplit(where), seed)
