import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchxrayvision as xrv

from builder.contract import CheckError, decode_image, load_index
from builder.contract.weights import scale
from trainer.stream import batches as module
from trainer.stream.batches import Dataset, batches, open_dataset
from trainer.stream.order import Rows


def stream(data: Dataset, rows: Any, **options: Any) -> list[Any]:
    asked = {"size": 16, "workers": 2, "what": "test"} | options
    return list(batches(data, rows, **asked))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count of a virtual folder


def shuffled(data: Dataset) -> Rows:
    return np.random.default_rng(0).permutation(data.rows("train"))


def test_every_row_comes_in_order_whatever_the_number_of_threads(data: Dataset) -> None:
    rows = shuffled(data)
    one, four = (stream(data, rows, workers=n) for n in (1, 4))
    for got in (one, four):
        assert np.array_equal(torch.cat([b.rows for b in got]), rows)
        assert np.array_equal(torch.cat([b.places for b in got]), np.arange(len(rows)))
    assert all(torch.equal(a.images, b.images) for a, b in zip(one, four, strict=True))


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_share_every_batch_and_see_each_sample_once(data: Dataset, ranks: int) -> None:
    rows = shuffled(data)
    whole = stream(data, rows)
    parts = [stream(data, rows, share=(rank, ranks)) for rank in range(ranks)]
    assert {len(part) for part in parts} == {len(whole)}
    for number, batch in enumerate(whole):
        shares = [part[number] for part in parts]
        assert {share.position for share in shares} == {batch.position}
        assert {share.known for share in shares} == {batch.known}
        order = torch.cat([share.places for share in shares]).argsort()
        assert torch.equal(torch.cat([share.rows for share in shares])[order], batch.rows)
        assert torch.equal(torch.cat([share.images for share in shares])[order], batch.images)
        assert max(len(s.rows) for s in shares) - min(len(s.rows) for s in shares) <= 1


def test_known_counts_the_labels_of_the_whole_batch(data: Dataset) -> None:
    for batch in stream(data, shuffled(data)):
        assert batch.known == int((batch.labels >= 0).sum())


def test_batches_hold_the_pixels_and_labels_of_their_rows(data: Dataset) -> None:
    rows = data.rows("val")[:35]
    batch = stream(data, rows, size=7)[1]
    row = int(batch.rows[2])
    entry = data.manifest.shardlist[data.shard[row]]
    assert entry.url == data.index.shard[row]
    with data.shards.open(data.shard[row]) as file:
        member = os.pread(file, int(data.index.size[row]), int(data.index.offset[row]))
    assert np.array_equal(batch.images[2, 0], decode_image(member, data.manifest.image))
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (7, 1, 32, 32)
    assert batch.labels.dtype == torch.float32
    assert np.array_equal(batch.labels, data.index.labels[rows[7:14]])


def test_held_out_rows_stay_in_sealed_order(data: Dataset) -> None:
    got = torch.cat([batch.rows for batch in stream(data, data.rows("test"))])
    assert np.array_equal(got, np.flatnonzero(data.index.split == "test"))


def test_resuming_at_any_step_gives_the_rest_of_the_epoch(data: Dataset) -> None:
    rows = shuffled(data)
    whole = stream(data, rows)
    for step in range(len(whole) + 1):
        rest = stream(data, rows, start=whole[step - 1].position if step else 0)
        assert len(rest) == len(whole) - step
        for a, b in zip(rest, whole[step:], strict=True):
            assert torch.equal(a.rows, b.rows)
            assert torch.equal(a.places, b.places)
            assert torch.equal(a.images, b.images)


def test_processes_that_take_turns_make_all_batches(data: Dataset) -> None:
    rows = shuffled(data)
    whole = stream(data, rows, what=None)
    parts = [stream(data, rows, turn=(process, 3)) for process in range(3)]
    for number, batch in enumerate(whole):
        same = parts[number % 3][number // 3]
        assert same.position == batch.position
        assert torch.equal(same.rows, batch.rows)
        later = stream(data, rows, turn=(number % 3, 3), start=batch.position)
        assert [b.position for b in later] == [b.position for b in whole[number + 3 :: 3]]
    assert sum(map(len, parts)) == len(whole)


def test_shards_are_prepared_for_each_batch_until_the_end(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[int] = []
    monkeypatch.setattr(data.shards, "ahead", lambda _: SimpleNamespace(reach=reached.append))
    whole = stream(data, shuffled(data))
    assert reached == [0, *(batch.position for batch in whole[:-1])]


def test_a_place_inside_a_batch_is_refused(data: Dataset) -> None:
    with pytest.raises(CheckError, match="lies inside a batch of 16"):
        stream(data, shuffled(data), start=5)


def test_leaving_early_leaves_no_thread_and_no_open_file(shared: Any) -> None:
    files, threads = open_files(), threading.active_count()
    index = load_index(shared.manifest, shared.root)
    with open_dataset(shared.located(index), workers=3) as data:
        going = batches(data, data.rows("train"), size=4, workers=3, what="test")
        with closing(going):
            next(going)
            assert threading.active_count() > threads
        assert threading.active_count() == threads
    assert open_files() == files


def test_prefetch_is_bounded(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], module._Loader.__call__

    def counted(loader: Any, piece: range) -> Any:
        loaded.append(piece)
        return load(loader, piece)

    monkeypatch.setattr(module._Loader, "__call__", counted)
    with closing(batches(data, data.rows("train"), size=2, workers=2, what="test")) as going:
        next(going)
    assert 1 <= len(loaded) <= 2 + 2 + 1


def test_scale_is_torchxrayvisions() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(scale(torch.from_numpy(grey)), xrv.utils.normalize(grey, 255))


def test_png_datasets_stream_too(tmp_path: Path, sealer: Callable[..., Any]) -> None:
    sealed = sealer(tmp_path, counts={("train", "real"): 9}, codec="png")
    with open_dataset(sealed.located(), workers=1) as data:
        assert sum(len(batch.rows) for batch in stream(data, data.rows("train"))) == 9


@pytest.mark.parametrize("codec", ["jpg", "png"])
def test_a_corrupt_member_is_named_with_its_shard(
    tmp_path: Path, sealer: Callable[..., Any], codec: str
) -> None:
    sealed = sealer(tmp_path, counts={("train", "real"): 9}, codec=codec)
    index, files = sealed.index, open_files()
    with (sealed.root / index.shard[4]).open("r+b") as tar:
        tar.seek(index.offset[4] + 40)
        tar.write(bytes(int(index.size[4]) - 60))
    sealed.reseal()
    with (
        pytest.raises(CheckError, match=f"{index.shard[4]}.*{index.key[4]}"),
        open_dataset(sealed.located(index), workers=2) as data,
    ):
        stream(data, data.rows("train"), size=2)
    assert open_files() == files


def test_a_swapped_shard_is_refused_and_nothing_stays_open(sealed: Any) -> None:
    url = sealed.manifest.shardlist[3].url
    tar = bytearray((sealed.root / url).read_bytes())
    tar[700] ^= 1
    (sealed.root / url).write_bytes(tar)
    files = open_files()
    with (
        pytest.raises(CheckError, match=f"{url}.*sha256"),
        open_dataset(sealed.located(), workers=2),
    ):
        pass
    assert open_files() == files


def spoil(sealed: Any, row: int, data: bytes = b"not an image at all") -> None:
    with (sealed.root / sealed.index.shard[row]).open("r+b") as tar:
        tar.seek(int(sealed.index.offset[row]))
        tar.write(data)


def opened(sealed: Any, **options: Any) -> Any:
    return open_dataset(sealed.located(), workers=2, **options)


def test_skip_bad_shows_an_unreadable_image_blank_with_unknown_labels(sealed: Any) -> None:
    spoil(sealed, 7)
    sealed.reseal()
    with opened(sealed, skip_bad=True) as data:
        found = stream(data, data.rows("train"))
    bad = [pair for batch in found for pair in batch.bad]
    assert [row for row, _ in bad] == [7]
    assert sealed.index.key[7] in bad[0][1]
    rows, images, labels = (
        torch.cat([getattr(batch, name) for batch in found])
        for name in ("rows", "images", "labels")
    )
    at = int((rows == 7).nonzero())
    assert (labels[at] == -1).all()
    assert (images[at] == module.BLANK).all()
    others = rows != 7
    assert torch.equal(
        labels[others], torch.from_numpy(sealed.index.labels[rows[others]].astype(np.float32))
    )


def test_skip_bad_uses_nothing_of_a_shard_that_is_not_the_one_sealed(sealed: Any) -> None:
    spoil(sealed, 7)  # not sealed again: the shard's sha256 differs
    shard = sealed.index.shard[7]
    with opened(sealed, skip_bad=True) as data:
        bad = [row for batch in stream(data, data.rows("train")) for row, _ in batch.bad]
    assert sorted(bad) == np.flatnonzero(sealed.index.shard == shard).tolist()


@pytest.mark.parametrize("how", ["cut", "swapped", "overwritten", "removed"])
def test_a_shard_that_changes_in_mid_epoch_is_named(sealed: Any, how: str) -> None:
    first, second = (shard.url for shard in sealed.manifest.shardlist[:2])
    path = sealed.root / first
    with opened(sealed) as data:
        rows = np.flatnonzero(sealed.index.shard == first)
        going = batches(data, np.tile(rows, 4), size=4, workers=1, what="test")
        with closing(going):
            next(going)
            if how == "cut":
                os.truncate(path, 4096)
            elif how == "overwritten":
                spoil(sealed, int(rows[-1]), b"\x00")
            elif how == "removed":
                path.unlink()
            else:
                (sealed.root / second).replace(path)
            with pytest.raises(CheckError, match=first):
                list(going)


def test_a_shard_whose_file_was_replaced_by_the_same_bytes_goes_on(sealed: Any) -> None:
    url = sealed.manifest.shardlist[0].url
    path = sealed.root / url
    with opened(sealed) as data:
        rows = np.flatnonzero(sealed.index.shard == url)
        with closing(batches(data, np.tile(rows, 4), size=4, workers=1, what="test")) as going:
            next(going)
            copy = path.with_suffix(".copy")
            copy.write_bytes(path.read_bytes())
            copy.replace(path)
            assert sum(len(batch.rows) for batch in going) == 4 * len(rows) - 4
