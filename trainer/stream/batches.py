"""A sealed dataset into batches: any sequence of its rows, at the rate of the decoder.

Each thread makes a whole batch: it reads by the sealed index (no tar header is parsed), decodes
into one preallocated uint8 tensor and hands it over. The cast to float happens on the device.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass, replace
from itertools import groupby

import numpy as np
import torch

from builder.contract import Bytes, CheckError, Index, Manifest, image_decoder
from builder.store import OutOfReach
from trainer.progress import progress
from trainer.stream.buffers import Buffers
from trainer.stream.locate import Located
from trainer.stream.order import Rows, cut, pieces_from
from trainer.stream.prefetch import prefetch
from trainer.stream.ram import Ram
from trainer.stream.shards import Shards

CPU = torch.device("cpu")
_Member = tuple[list[int], int]  # a row of Dataset.members, and the image's place in the batch
BLANK = 128  # the grey of an image that cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One rank's share of a batch, in the order asked for, on its way to the device."""

    images: torch.Tensor  # uint8 [B, 1, H, W]
    labels: torch.Tensor  # float32 [B, L] in {1, 0, -1}; -1 = unknown
    rows: torch.Tensor  # int64 [B], rows of the sealed index
    places: torch.Tensor  # int64 [B], their places in the sequence
    known: int  # labels that are known in the whole batch, the shares of all ranks together
    position: int  # images of the sequence up to the end of this batch: where to resume
    waited: float  # seconds that the consumer waited for it
    bad: tuple[tuple[int, str], ...]  # (row, reason) of images that are blank, their labels unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An open dataset; the image of row i lies in the shard number `shard[i]`."""

    manifest: Manifest
    index: Index
    shard: Rows  # [N], position in manifest.shardlist
    members: Rows  # [N, 4], for the decoder: shard number, offset and bytes of the image, row
    shards: Shards
    skip_bad: bool = False  # an image that cannot be read is blank, and does not end the run
    ram: Ram | None = None  # decoded images

    def rows(self, split: str, origin: str | None = None) -> Rows:
        """The rows of a split, in sealed order; those of one origin where it is given."""
        inside = self.index.split == split
        return np.flatnonzero(inside if origin is None else inside & (self.index.origin == origin))


@contextmanager
def open_dataset(
    located: Located,
    *,
    workers: int,
    skip_bad: bool = False,
    ram_bytes: int = 0,
    prove: bool = True,
) -> Iterator[Dataset]:
    """The dataset, once the size and sha256 of every shard agree.

    They are checked now; without `prove`, or where a shard must be fetched, at its first use.
    CheckError names the first shard that is not the one sealed; with `skip_bad` its images are
    blank. Up to `ram_bytes` of decoded images are kept, training images first.
    """
    manifest, index = located.manifest, located.index
    shards = Shards(manifest, located.source)
    try:
        if prove and located.source.at_hand:
            shards.prove(workers, skip_bad=skip_bad)
        samples = [shard.nsamples for shard in manifest.shardlist]
        wanted = np.argsort(index.split != "train", kind="stable")
        wanted = wanted[index.split[wanted] != "test"]
        shard = np.repeat(np.arange(len(samples)), samples)
        members = (shard, index.offset, index.size, np.arange(len(index)))
        yield Dataset(
            manifest=manifest,
            index=index,
            shard=shard,
            members=np.stack(members, axis=1, dtype=np.int64),
            shards=shards,
            skip_bad=skip_bad,
            ram=Ram(wanted, len(index), manifest.image, ram_bytes) if ram_bytes else None,
        )
    finally:
        shards.close()


def batches(
    data: Dataset,
    rows: Rows,
    *,
    size: int,
    workers: int,
    what: str | None,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
    turn: tuple[int, int] = (0, 1),
    device: torch.device = CPU,
) -> Generator[Batch, None, None]:
    """The batches of `rows` in order, from position `start` on, where an earlier batch ended.

    `share` = (rank, ranks): every rank gets every ranks-th image of each batch, so all get the
    same number of batches. `turn` = (process, processes): of several processes that take turns,
    each makes every processes-th batch. `what` names the progress bar; None draws none.

    `workers` threads decode at most `workers` + 2 batches ahead, in page-locked memory where
    `device` is a GPU. Closing the iterator ends the threads. An image that cannot be read raises
    CheckError with its shard and key, or is blank.
    """
    process, processes = turn
    turns = {piece.start for piece in cut(len(rows), size)[process::processes]}
    pieces = [piece for piece in pieces_from(len(rows), size, start) if piece.start in turns]
    image, pin = data.manifest.image, device.type == "cuda"
    most = -(-size // share[1])  # images of a share
    buffers = Buffers(most, image.height, image.width, keep=workers + 3, pin=pin)
    load = _Loader(data, rows, buffers, share=share, pin=pin)
    shards = data.shards.ahead(data.shard[rows[start:]])
    loaded = prefetch(
        load, pieces, workers=workers, begin=lambda piece: shards.reach(piece.start - start)
    )
    bar = nullcontext() if what is None else progress(what, len(rows) - start, waits=True)
    done = start
    with closing(loaded), bar as advance:
        for batch, waited in loaded:
            yield replace(batch, waited=waited)
            if advance is not None:
                advance(batch.position - done, waited)
            done = batch.position


@dataclass(frozen=True, slots=True)
class _Loader:
    """Pieces of a sequence into batches, in any thread."""

    data: Dataset
    rows: Rows
    buffers: Buffers
    _: KW_ONLY
    share: tuple[int, int]
    pin: bool

    def __call__(self, piece: range) -> Batch:
        """One rank's share of a piece."""
        rank, ranks = self.share
        places = np.arange(piece.start + rank, piece.stop, ranks)
        rows = self.rows[places]
        images, pixels = self.buffers.borrow(len(rows))
        bad = self._fill(rows, images, pixels)
        found = self.data.index.labels[rows]
        labels = torch.from_numpy(found.astype(np.float32))
        for i in bad:
            images[i], labels[i] = BLANK, -1
        whole = found if ranks == 1 else self.data.index.labels[self.rows[piece.start : piece.stop]]
        return Batch(
            images=images,
            labels=labels.pin_memory() if self.pin else labels,
            rows=torch.from_numpy(rows),
            places=torch.from_numpy(places),
            known=int(np.count_nonzero(whole >= 0)),
            position=piece.stop,
            waited=0.0,
            bad=tuple((int(rows[i]), reason) for i, reason in bad.items()),
        )

    def _fill(self, rows: Rows, images: torch.Tensor, pixels: Sequence[Bytes]) -> dict[int, str]:
        """Why which images could not be read; the pixels of the others are there."""
        data, bad = self.data, dict[int, str]()
        todo = np.arange(len(rows))
        if data.ram is not None:
            todo = np.flatnonzero(~data.ram.take(rows, images.numpy()[:, 0]))
        # As they lie in the shards, each of which is opened once for a batch.
        members = sorted(zip(data.members[rows[todo]].tolist(), todo.tolist(), strict=True))
        for number, inside in groupby(members, key=lambda member: member[0][0]):
            bad |= self._read(number, list(inside), pixels)
        if data.ram is not None:
            for place in todo.tolist():
                if place not in bad:
                    data.ram.keep(int(rows[place]), pixels[place])
        if bad and not data.skip_bad:
            raise CheckError(next(iter(bad.values())))
        return bad

    def _read(
        self, number: int, members: Sequence[_Member], pixels: Sequence[Bytes]
    ) -> dict[int, str]:
        """Images of one shard into `pixels` at their places; why which of them are not there."""
        # For each image as little Python as there can be: other threads wait for it.
        decode, pread, bad = image_decoder(self.data.manifest.image), os.pread, dict[int, str]()
        try:
            with self.data.shards.open(number) as file:
                for (_, offset, size, row), place in members:
                    try:
                        decode(pread(file, size, offset), pixels[place])
                    except (ValueError, OSError) as error:
                        bad[place] = self._reason(row, error)
        except OutOfReach:  # no fault of the shard's
            raise
        except CheckError as error:  # the shard is not the one sealed: nothing of it is used
            return {place: str(error) for _, place in members}
        return bad

    def _reason(self, row: int, error: Exception) -> str:
        index = self.data.index
        return f"{index.shard[row]}: the image of {index.key[row]!r} is not readable: {error}."
