"""A sealed dataset into batches: every sample once per epoch, at the rate of the decoder.

The order is a pure function of (manifest digest, seed, epoch); the number of threads changes
nothing but the speed. The sealed index says where each image lies, so no tar header is walked.
"""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from builder.contract import Bytes, CheckError, Index, Manifest, check_shard, decode_image

Rows = npt.NDArray[np.int64]  # row numbers of the sealed index
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples on their way to the device, in the order asked for."""

    images: torch.Tensor  # uint8 [B, 1, H, W]
    labels: torch.Tensor  # float32 [B, L] in {1, 0, -1}; -1 = unknown
    rows: torch.Tensor  # int64 [B], rows of the sealed index


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An open, checked dataset; the image of row i lies in the shard number `shard[i]`."""

    manifest: Manifest
    index: Index
    shard: Rows  # [N], position in manifest.shardlist
    files: tuple[int, ...]  # one open file descriptor per shard

    def rows(self, split: str) -> Rows:
        """The rows of a split, in sealed order."""
        return np.flatnonzero(self.index.split == split)


@contextmanager
def open_dataset(
    manifest: Manifest, index: Index, *, root: Path, workers: int
) -> Iterator[Dataset]:
    """The dataset with its shards open, once the size and sha256 of every shard agree.

    CheckError names the first shard that is not the one sealed; no file stays open afterwards.
    """
    shards = manifest.shardlist
    samples = [shard.nsamples for shard in shards]
    files: list[int] = []
    with ExitStack() as stack:
        with ThreadPoolExecutor(workers) as pool, progress("checking", sum(samples)) as advance:
            paths = pool.map(partial(check_shard, root=root), shards)
            for path, count in zip(paths, samples, strict=True):
                files.append(os.open(path, os.O_RDONLY))
                stack.callback(os.close, files[-1])
                advance(count)
        shard = np.repeat(np.arange(len(shards)), samples)
        yield Dataset(manifest=manifest, index=index, shard=shard, files=tuple(files))


def random_words(count: int, *what: object) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit words, a pure function of `what`; word i does not depend on `count`.

    Raw Philox output: numpy keeps that stream for good, unlike those of its Generator's methods.
    """
    digest = hashlib.sha256(" ".join(map(str, what)).encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(count)


def epoch_rows(data: Dataset, *, seed: int, epoch: int) -> Rows:
    """The training rows, each once, in the order of that epoch."""
    rows = data.rows("train")
    words = random_words(len(rows), "order", data.manifest.digest, seed, epoch)
    return rows[np.argsort(words, kind="stable")]


def cut(rows: Rows, size: int) -> list[Rows]:
    """The rows in pieces of `size`; the last is shorter, or one longer where one row was left.

    Batch normalisation cannot train on a single image, and no image may be dropped.
    """
    pieces = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [np.concatenate(pieces[-2:])]
    return pieces


def batches(
    data: Dataset,
    rows: Rows,
    *,
    size: int,
    workers: int,
    what: str,
    start: int = 0,
    device: torch.device = CPU,
) -> Generator[Batch, None, None]:
    """The batches of `rows` in order, from batch number `start` on (the place to resume at).

    `workers` threads decode whole batches ahead, at most `workers` + 2 of them, into page-locked
    memory where the `device` they are for is a GPU. Closing the iterator ends the threads.
    A member that is not the image it should be raises CheckError with its shard and key.
    """
    pieces, pin = cut(rows, size)[start:], device.type == "cuda"
    todo = iter(pieces)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    ahead: deque[Future[Batch]] = deque()
    try:
        with progress(what, sum(map(len, pieces))) as advance:
            for piece in islice(todo, workers + 2):
                ahead.append(pool.submit(_load, data, piece, pin))
            while ahead:
                batch = ahead.popleft().result()
                for piece in islice(todo, 1):
                    ahead.append(pool.submit(_load, data, piece, pin))
                yield batch
                advance(len(batch.rows))
    finally:
        pool.shutdown(cancel_futures=True)


def _load(data: Dataset, rows: Rows, pin: bool) -> Batch:
    image = data.manifest.image
    shape = (len(rows), 1, image.height, image.width)
    images = torch.empty(shape, dtype=torch.uint8, pin_memory=pin)
    for row, pixels in zip(rows.tolist(), images.numpy()[:, 0], strict=True):
        _decode(data, row, pixels)
    labels = torch.from_numpy(data.index.labels[rows].astype(np.float32))
    return Batch(
        images=images,
        labels=labels.pin_memory() if pin else labels,
        rows=torch.from_numpy(rows),
    )


def _decode(data: Dataset, row: int, pixels: Bytes) -> None:
    index, number = data.index, data.shard[row]
    member = os.pread(data.files[number], int(index.size[row]), int(index.offset[row]))
    try:
        decode_image(member, data.manifest.image, pixels)
    except ValueError as error:
        url = data.manifest.shardlist[number].url
        raise CheckError(
            f"{url}: the image of {index.key[row]!r} is not readable: {error}."
        ) from None


def scale(images: torch.Tensor) -> torch.Tensor:
    """float32 in [-1024, 1024], torchxrayvision's range, from uint8; on the images' device."""
    return images.float().div_(255).mul_(2).sub_(1).mul_(1024)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of images just done.

    It draws a bar with rate and time left on stderr, from the third second on and only if stderr
    is a terminal.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} images/s"),
        TimeRemainingColumn(),
    )
    began, done = time.monotonic(), 0
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total, visible=False, rate=0.0)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            seconds = time.monotonic() - began
            bar.update(task, completed=done, visible=seconds > 2, rate=done / max(seconds, 1e-9))

        yield advance
