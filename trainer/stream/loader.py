"""The stream for training loops of other people: an IterableDataset, and webdataset's pipeline.

Both read one split of a sealed dataset. They give dicts of tensors (`Item`), and use a shard only
after its size and sha256 agree with the manifest.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

from builder.contract import CheckError, Origin, Split, UsageError
from builder.contract.record import as_record
from builder.store import Cache
from trainer.stream.opened import BatchItem, Item, OpenedSplit, Where
from trainer.stream.order import Cursor, Order, Rows, cut
from trainer.stream.pipeline import webdataset_pipeline

__all__ = ["BatchItem", "Item", "StreamDataset", "webdataset_pipeline"]


class StreamDataset(IterableDataset[Item | BatchItem]):
    """One split of a sealed dataset, in the order of xtrain, for any training loop.

    With `batch` it gives whole batches, for `DataLoader(dataset, batch_size=None)`: the batches of
    xtrain. Each rank gets its share of every batch, and the order is exact for any number of
    workers. Without `batch` it gives single samples, for one process.
    """

    def __init__(
        self,
        manifest: str | Path,
        split: Split = "train",
        *,
        batch: int | None = None,
        origin: Origin | None = None,
        seed: int | None = None,
        order: Order | None = None,
        share: tuple[int, int] | None = None,
        threads: int = 2,
        shards_root: str | Path | None = None,
        cache: Cache | None = None,
    ) -> None:
        """Open and check the split now; CheckError names a shard that is not the one sealed.

        `batch` counts the images of a step over all ranks. Training images are shuffled by `seed`
        (0) and epoch, or come in an `order`, as `make_arm(…).order`; held-out images always come
        in sealed order. `origin` shows real or synthetic images alone. `share` = (rank, ranks) is
        found by itself under torch.distributed and torchrun. `threads` decode in each process.
        """
        if batch is not None and batch < 1:
            raise UsageError(f"batch={batch} holds no image: take 1 or more.")
        if share is not None and not 0 <= share[0] < share[1]:
            raise UsageError(f"share={share} is no (rank, ranks): write it like (0, 4).")
        where = Where(
            manifest=str(manifest),
            split=split,
            origin=origin,
            shards_root=None if shards_root is None else str(shards_root),
            cache=cache,
            threads=threads,
        )
        self.batch = batch
        self._share = share
        self._split = OpenedSplit(where)
        self._order = self._choose_order(order, seed)
        self._held_out = None if self._order else self._split.data.rows(split, origin)
        digest = self._split.data.manifest.digest
        self._name = self._order.digest if self._order else f"{digest} {split} {origin}"
        self._position = 0  # images of the epoch that are done
        self._loaded_in: int | None = None  # the process that loaded a place, until it is used

    def _choose_order(self, order: Order | None, seed: int | None) -> Order | None:
        """The order of training images; None for held-out ones."""
        where = self._split.where
        if order is None:
            return self._split.order(seed or 0) if where.split == "train" else None
        if where.split != "train" or where.origin is not None or seed is not None:
            raise UsageError(
                "order= says which training images come and how they are shuffled: leave out"
                ' origin= and seed=, and use the split "train".'
            )
        if order.key.split()[0] != self._split.data.manifest.digest:
            raise UsageError("order= belongs to another dataset: make it from this manifest.")
        return order

    @property
    def pathologies(self) -> tuple[str, ...]:
        """What the L columns of `labels` are."""
        return self._split.data.manifest.pathologies

    @property
    def epoch(self) -> int:
        """The epoch that the next pass shows; epoch 0 is the first, which xtrain calls 1."""
        return self._split.epoch

    def set_epoch(self, epoch: int) -> None:
        """Show that epoch from now on; it begins at its beginning, unless its place was loaded."""
        if epoch != self._split.epoch:
            self._split.epoch = epoch
            self._position, self._loaded_in = 0, None

    def __len__(self) -> int:
        """Batches of an epoch (the same for every rank) or, without `batch`, samples."""
        return -(-self._count(self._split.epoch) // (self.batch or 1))

    def _count(self, epoch: int) -> int:
        """Images of an epoch, of all ranks together."""
        return len(self._sequence()) if self._order is None else self._order.count(epoch + 1)

    def _sequence(self) -> Rows:
        """The rows of the epoch in order."""
        if self._held_out is not None:
            return self._held_out
        assert self._order is not None
        return self._order.epoch(self._split.epoch + 1)

    def state_dict(self) -> dict[str, object]:
        """The place in the order, as plain words and numbers: all that a resume needs.

        UsageError where worker processes read, because they alone know it.
        """
        if self._split.elsewhere and get_worker_info() is None:
            raise UsageError(
                "The place is known to the DataLoader's worker processes alone: use num_workers=0,"
                " or torchdata's StatefulDataLoader and its state_dict."
            )
        epoch = self._split.epoch
        return asdict(Cursor(order=self._name, epoch=epoch, position=self._position))

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Continue at that place; UsageError where it is one of another order or batch.

        The end of an epoch changes nothing where `set_epoch` has already begun a later one.
        """
        cursor = as_record(dict(state), Cursor, "The state of the stream")
        if cursor.order != self._name:
            raise UsageError(
                "The state belongs to another order of images: use the dataset, split, origin,"
                " seed and order with which it was saved."
            )
        count, at = self._count(cursor.epoch), cursor.position
        if at > count:
            raise CheckError(f"The state is at image {at} of an epoch of {count}.")
        pieces = cut(count, self.batch) if self.batch else [range(at), range(at, count)]
        if at not in {0, *(piece.stop for piece in pieces)}:
            raise UsageError(
                f"Position {at} lies inside a batch of {self.batch}: resume with the batch= with"
                " which the state was saved."
            )
        process, processes = _turn()
        left = any(piece.stop > at for piece in pieces[process::processes])
        if cursor.epoch < self._split.epoch and not left:
            return
        self._split.epoch = cursor.epoch
        self._position, self._loaded_in = at, os.getpid()

    def __iter__(self) -> Iterator[Item] | Iterator[BatchItem]:
        """The epoch, or the rest of it after `load_state_dict`."""
        turn = _turn()
        if self.batch is None and turn[1] > 1:
            raise UsageError(
                "Several workers would mix up the order of single samples: give batch= here and"
                " batch_size=None to the DataLoader, or use num_workers=0."
            )
        if self._loaded_in not in (None, os.getpid()):
            raise UsageError(
                "The place was loaded outside of the worker processes: use num_workers=0, or"
                " torchdata's StatefulDataLoader and its load_state_dict."
            )
        share = self._ranks()
        self._check_share(share)
        if self._loaded_in is None:
            self._position = 0
        self._loaded_in = None
        self._split.elsewhere = get_worker_info() is not None
        return self._samples() if self.batch is None else self._batches(self.batch, share, turn)

    def _ranks(self) -> tuple[int, int]:
        if self._share is not None:
            return self._share
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))

    def _check_share(self, share: tuple[int, int]) -> None:
        """UsageError where the ranks could not take equally many steps."""
        ranks = share[1]
        if self.batch is None and ranks > 1:
            raise UsageError(
                f"Single samples do not come out even for {ranks} ranks: give batch= here and"
                " batch_size=None to the DataLoader, or share=(0, 1) if somebody else divides them."
            )
        fewest = self._count(self._split.epoch) // max(1, len(self))
        if fewest < ranks:
            raise UsageError(
                f"A batch of {fewest} images cannot be divided among {ranks} ranks: raise batch=."
            )

    def _samples(self) -> Iterator[Item]:
        with closing(self._split.samples(self._sequence()[self._position :])) as samples:
            for sample in samples:
                self._position += 1
                yield sample

    def _batches(
        self, size: int, share: tuple[int, int], turn: tuple[int, int]
    ) -> Iterator[BatchItem]:
        rows, start = self._sequence(), self._position
        stream = self._split.stream(rows, size, start=start, share=share, turn=turn)
        with closing(stream) as made:
            for batch, self._position in made:
                yield batch

    def __getstate__(self) -> dict[str, object]:
        """Without what is open, and with the share that torch.distributed gives this rank."""
        started = distributed.is_available() and distributed.is_initialized()
        return self.__dict__ | {"_share": self._ranks() if started else self._share}


def _turn() -> tuple[int, int]:
    """(number of this worker process of a DataLoader, how many there are)."""
    worker = get_worker_info()
    return (0, 1) if worker is None else (worker.id, worker.num_workers)
