"""One split of a sealed dataset for training loops of other people, opened where it is read.

It may be sent to the worker processes of a DataLoader. There it is opened again, and it is still
the same dataset. The epoch is shared by all of these processes.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch

from builder.contract import ORIGINS, SPLITS, CheckError, Origin, Split, UsageError
from builder.store import Cache, default_cache_folder
from trainer.stream.batches import Dataset, batches, open_dataset
from trainer.stream.locate import locate
from trainer.stream.order import Order, Part, Rows

READ = 32  # images that are decoded together where samples come one by one
DEFAULT_CACHE_BYTES = 100 * 10**9  # of shards behind a URL, as for xtrain


# An unknown label is nan: the loss of somebody who forgets to mask it is nan, too, and not wrong.


class Item(TypedDict):
    """A sample."""

    pixel_values: torch.Tensor  # uint8 [1, H, W]
    labels: torch.Tensor  # float32 [L] in {1, 0, nan}; nan = unknown
    key: str  # as in the parquet index


class BatchItem(TypedDict):
    """A batch, or one rank's share of it."""

    pixel_values: torch.Tensor  # uint8 [B, 1, H, W]
    labels: torch.Tensor  # float32 [B, L] in {1, 0, nan}; nan = unknown
    key: list[str]  # [B], as in the parquet index


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which images are read, and with how many threads."""

    manifest: str  # a file or URL
    split: Split
    origin: Origin | None  # None: both
    shards_root: str | None
    cache: Cache | None
    threads: int


class OpenedSplit:
    """A split that is open in every process that uses it; its epoch is the same in all of them."""

    def __init__(self, where: Where) -> None:
        """Open the split; CheckError names the first of its shards that is not the one sealed.

        Shards behind a URL are checked when they arrive. UsageError where there is no image.
        """
        _check(where)
        self.where = where
        self._shared = torch.zeros(2, dtype=torch.int64)  # epoch, elsewhere
        self._shared.share_memory_()  # type: ignore[no-untyped-call]
        self._data: Dataset | None = None
        self._digest = ""
        data = self.data
        self._digest = data.manifest.digest
        rows = data.rows(where.split, where.origin)
        if not len(rows):
            kind = f"{where.origin} images" if where.origin else "images"
            raise UsageError(f"{where.manifest} has no {kind} in its split {where.split}.")
        if self._at_hand:
            numbers = np.unique(data.shard[rows]).tolist()
            data.shards.prove(where.threads, skip_bad=False, numbers=numbers)

    @property
    def data(self) -> Dataset:
        """The open dataset; it is opened again in a process that cannot use the parent's."""
        if self._data is None or not (self._at_hand or self._process == os.getpid()):
            self._open()
        assert self._data is not None
        return self._data

    def _open(self) -> None:
        where = self.where
        cache = where.cache or Cache(folder=default_cache_folder(), max_bytes=DEFAULT_CACHE_BYTES)
        located = locate(where.manifest, where.shards_root, cache)
        if self._digest and located.manifest.digest != self._digest:
            raise CheckError(f"{where.manifest} has changed since it was opened: start again.")
        self._at_hand, self._process = located.source.at_hand, os.getpid()
        self._opening = open_dataset(located, workers=where.threads, prove=False)
        self._data = self._opening.__enter__()  # it closes when `_opening` is deleted

    @property
    def epoch(self) -> int:
        """The epoch that the next pass shows, from 0."""
        return int(self._shared[0])

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch < 0:
            raise UsageError(f"There is no epoch {epoch}: epochs count from 0.")
        self._shared[0] = epoch

    @property
    def elsewhere(self) -> bool:
        """Whether the latest pass is made by worker processes, which alone know its place."""
        return bool(self._shared[1])

    @elsewhere.setter
    def elsewhere(self, elsewhere: bool) -> None:
        self._shared[1] = elsewhere

    def order(self, seed: int, shards: Sequence[int] | None = None) -> Order:
        """The order in which xtrain shows these images, or those of some shards, each once.

        Real and synthetic images are shuffled separately and mixed evenly, as in the arm gan.
        """
        data, parts = self.data, []
        for origin in ORIGINS if self.where.origin is None else (self.where.origin,):
            rows = data.rows(self.where.split, origin)
            if shards is not None:
                rows = rows[np.isin(data.shard[rows], shards)]
            if len(rows):
                own = data.shard[rows]
                parts.append(Part(name=origin, rows=rows, shards=own, count=len(rows)))
        return Order(key=f"{data.manifest.digest} {seed}", parts=tuple(parts))

    def stream(
        self,
        rows: Rows,
        size: int,
        *,
        start: int = 0,
        share: tuple[int, int] = (0, 1),
        turn: tuple[int, int] = (0, 1),
    ) -> Generator[tuple[BatchItem, int], None, None]:
        """(batch, position after it) of `rows`, as `batches` makes them."""
        data, threads = self.data, self.where.threads
        made = batches(
            data, rows, size=size, workers=threads, what=None, start=start, share=share, turn=turn
        )
        with closing(made):
            for batch in made:
                keys = [str(key) for key in data.index.key[batch.rows.numpy()]]
                targets = batch.labels.masked_fill(batch.labels < 0, torch.nan)
                item = BatchItem(pixel_values=batch.images, labels=targets, key=keys)
                yield item, batch.position

    def samples(self, rows: Rows) -> Generator[Item, None, None]:
        """The samples of `rows`, one by one."""
        with closing(self.stream(rows, READ)) as made:
            for batch, _ in made:
                for values in zip(
                    batch["pixel_values"], batch["labels"], batch["key"], strict=True
                ):
                    yield Item(pixel_values=values[0], labels=values[1], key=values[2])

    def __getstate__(self) -> dict[str, object]:
        """All but what is open."""
        return self.__dict__ | {"_data": None, "_opening": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Closed; it opens at its first use."""
        self.__dict__ |= state
        self._shared.share_memory_()  # type: ignore[no-untyped-call]


def _check(where: Where) -> None:
    """UsageError where a word or number is none that can be used."""
    if where.split not in SPLITS:
        raise UsageError(f"There is no split {where.split!r}: choose {', '.join(SPLITS)}.")
    if where.origin not in (None, *ORIGINS):
        raise UsageError(f"There is no origin {where.origin!r}: choose {', '.join(ORIGINS)}.")
    if where.threads < 1:
        raise UsageError(f"threads={where.threads} decodes nothing: take 1 or more.")
