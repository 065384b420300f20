import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchxrayvision as xrv

from builder.contract import CheckError, decode_image, load_index
from trainer.stream import Dataset, batches, cut, epoch_rows, open_dataset, random_words, scale


def stream(data: Dataset, rows: Any, **options: Any) -> list[Any]:
    asked = {"size": 16, "workers": 2, "what": "test"} | options
    return list(batches(data, rows, **asked))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count of a virtual folder


def test_every_training_row_comes_once_per_epoch_whatever_the_number_of_threads(data: Dataset):
    rows = epoch_rows(data, seed=3, epoch=1)
    assert sorted(rows) == list(data.rows("train"))
    one, four = (stream(data, rows, workers=n) for n in (1, 4))
    for got in (one, four):
        assert np.array_equal(torch.cat([b.rows for b in got]), rows)
    assert all(torch.equal(a.images, b.images) for a, b in zip(one, four, strict=True))


def test_order_is_a_pure_function_of_digest_seed_and_epoch(data: Dataset):
    first = epoch_rows(data, seed=0, epoch=1)
    assert np.array_equal(first, epoch_rows(data, seed=0, epoch=1))
    assert not np.array_equal(first, epoch_rows(data, seed=0, epoch=2))
    assert not np.array_equal(first, epoch_rows(data, seed=1, epoch=1))


def test_random_words_are_fixed_for_good_and_do_not_depend_on_the_count():
    words = random_words(4, "order", "abc", 0, 1)
    assert words[:2].tolist() == [1823092689560706537, 8571039916807954081]
    assert np.array_equal(random_words(9, "order", "abc", 0, 1)[:4], words)


def test_batches_hold_the_pixels_and_labels_of_their_rows(data: Dataset):
    rows = data.rows("val")
    batch = stream(data, rows, size=7)[1]
    row = int(batch.rows[2])
    entry = data.manifest.shardlist[data.shard[row]]
    assert entry.url == data.index.shard[row]
    member = os.pread(
        data.files[data.shard[row]], int(data.index.size[row]), int(data.index.offset[row])
    )
    assert np.array_equal(batch.images[2, 0], decode_image(member, data.manifest.image))
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (7, 1, 32, 32)
    assert batch.labels.dtype == torch.float32
    assert np.array_equal(batch.labels, data.index.labels[rows[7:14]])


def test_held_out_rows_stay_in_sealed_order(data: Dataset):
    got = torch.cat([batch.rows for batch in stream(data, data.rows("test"))])
    assert np.array_equal(got, np.flatnonzero(data.index.split == "test"))


def test_resuming_at_any_step_gives_the_rest_of_the_epoch(data: Dataset):
    rows = epoch_rows(data, seed=0, epoch=1)
    whole = stream(data, rows)
    for step in range(len(whole) + 1):
        rest = stream(data, rows, start=step)
        assert len(rest) == len(whole) - step
        assert all(torch.equal(a.rows, b.rows) for a, b in zip(rest, whole[step:], strict=True))


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2])]
)
def test_no_batch_of_one_is_left_over(count: int, sizes: list[int]):
    pieces = cut(np.arange(count), 4)
    assert [len(piece) for piece in pieces] == sizes
    assert [row for piece in pieces for row in piece] == list(range(count))


def test_leaving_early_leaves_no_thread_and_no_open_file(shared: Any):
    files, threads = open_files(), threading.active_count()
    index = load_index(shared.manifest, shared.root)
    with open_dataset(shared.manifest, index, root=shared.root, workers=3) as data:
        going = batches(data, data.rows("train"), size=4, workers=3, what="test")
        with closing(going):
            next(going)
            assert threading.active_count() > threads
        assert threading.active_count() == threads
    assert open_files() == files


def test_prefetch_is_bounded(data: Dataset, monkeypatch: pytest.MonkeyPatch):
    loaded = []
    from trainer import stream as module

    monkeypatch.setattr(module, "_load", lambda _, rows, __: loaded.append(rows) or _Fake(rows))
    with closing(batches(data, data.rows("train"), size=2, workers=2, what="test")) as going:
        next(going)
    assert len(loaded) <= 2 + 2 + 1


class _Fake:
    def __init__(self, rows: Any) -> None:
        self.rows = rows


def test_scale_is_torchxrayvisions():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(scale(torch.from_numpy(grey)), xrv.utils.normalize(grey, 255))


def test_png_datasets_stream_too(tmp_path: Path, sealer: Callable[..., Any]):
    sealed = sealer(tmp_path, counts={("train", "real"): 9}, codec="png")
    with open_dataset(sealed.manifest, sealed.index, root=tmp_path, workers=1) as data:
        assert sum(len(batch.rows) for batch in stream(data, data.rows("train"))) == 9


@pytest.mark.parametrize("codec", ["jpg", "png"])
def test_a_corrupt_member_is_named_with_its_shard(
    tmp_path: Path, sealer: Callable[..., Any], codec: str
):
    sealed = sealer(tmp_path, counts={("train", "real"): 9}, codec=codec)
    index, files = sealed.index, open_files()
    with (sealed.root / index.shard[4]).open("r+b") as tar:
        tar.seek(index.offset[4] + 40)
        tar.write(bytes(int(index.size[4]) - 60))
    sealed.reseal()
    with (
        pytest.raises(CheckError, match=f"{index.shard[4]}.*{index.key[4]}"),
        open_dataset(sealed.manifest, index, root=tmp_path, workers=2) as data,
    ):
        stream(data, data.rows("train"), size=2)
    assert open_files() == files


def test_a_swapped_shard_is_refused_and_nothing_stays_open(sealed: Any):
    url = sealed.manifest.shardlist[3].url
    tar = bytearray((sealed.root / url).read_bytes())
    tar[700] ^= 1
    (sealed.root / url).write_bytes(tar)
    files = open_files()
    with (
        pytest.raises(CheckError, match=f"{url}.*sha256"),
        open_dataset(sealed.manifest, sealed.index, root=sealed.root, workers=2),
    ):
        pass
    assert open_files() == files
