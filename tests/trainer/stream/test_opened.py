import copy
import pickle
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from builder.contract import CheckError
from builder.store import Cache
from trainer.stream.batches import Dataset
from trainer.stream.opened import OpenedSplit, Where


@pytest.fixture
def split() -> Callable[..., OpenedSplit]:
    """The function that opens a split: (sealed, field=value …)."""

    def make(sealed: Any, **changes: Any) -> OpenedSplit:
        asked = {
            "manifest": str(sealed.path), "split": "train", "origin": None, "shards_root": None,
            "cache": None, "threads": 2,
        }  # fmt: skip
        return OpenedSplit(Where(**asked | changes))

    return make


def test_a_changed_shard_is_refused_before_anything_is_read(sealed: Any, split: Any) -> None:
    for shard in sealed.manifest.shardlist:
        path = sealed.root / shard.url
        good = path.read_bytes()
        path.write_bytes(good[:900] + bytes([good[900] ^ 1]) + good[901:])
        with pytest.raises(CheckError, match=f"{shard.url} is not the shard that was sealed"):
            split(sealed, split=shard.split)
        path.write_bytes(good[:-512])
        with pytest.raises(CheckError, match=f"{shard.url} has {len(good) - 512} bytes"):
            split(sealed, split=shard.split)
        path.write_bytes(good)


def test_shards_of_other_splits_are_not_read(sealed: Any, split: Any) -> None:
    for shard in sealed.manifest.shardlist:
        if shard.split != "val" and shard.origin == "real":
            (sealed.root / shard.url).unlink()
    assert split(sealed, split="val").data.index is not None
    assert split(sealed, origin="synthetic").where.origin == "synthetic"
    with pytest.raises(CheckError, match="is missing under"):
        split(sealed)


def test_a_shard_that_changes_during_a_pass_is_refused(sealed: Any, split: Any) -> None:
    opened = split(sealed, threads=1)
    rows = opened.data.rows("train")
    with closing(opened.samples(np.tile(rows, 4))) as samples:
        next(samples)
        (sealed.root / sealed.index.shard[rows[0]]).write_bytes(b"something else")
        with pytest.raises(CheckError, match=sealed.index.shard[rows[0]]):
            list(samples)


def test_samples_and_batches_are_the_same_pictures(shared: Any, split: Any, data: Dataset) -> None:
    opened, rows = split(shared), data.rows("train")[::3]
    with closing(opened.samples(rows)) as made:
        samples = list(made)
    with closing(opened.stream(rows, 7)) as batches:
        pairs = list(batches)
    assert [sample["key"] for sample in samples] == data.index.key[rows].tolist()
    assert [key for batch, _ in pairs for key in batch["key"]] == data.index.key[rows].tolist()
    for name in ("pixel_values", "labels"):
        whole = torch.cat([batch[name] for batch, _ in pairs])  # type: ignore[literal-required]
        assert torch.equal(
            torch.stack([sample[name] for sample in samples]).nan_to_num(-1), whole.nan_to_num(-1)
        )
    assert pairs[-1][1] == len(rows)


def test_an_unknown_label_is_nan(shared: Any, split: Any, data: Dataset) -> None:
    opened, rows = split(shared), data.rows("train")
    with closing(opened.samples(rows)) as samples:
        labels = torch.stack([sample["labels"] for sample in samples]).numpy()
    sealed = data.index.labels[rows]
    assert np.array_equal(np.isnan(labels), sealed == -1)
    assert np.array_equal(labels[sealed >= 0], sealed[sealed >= 0])
    assert (sealed == -1).any()


def test_a_copy_opens_the_same_dataset_again(sealed: Any, split: Any) -> None:
    opened = split(sealed)
    opened.epoch = 3
    sent = pickle.dumps(opened)
    assert len(sent) < 10_000
    for other in (pickle.loads(sent), copy.deepcopy(opened)):
        assert other.epoch == 3
        assert other.data.manifest == sealed.manifest
        other.epoch = 1
    assert opened.epoch == 3
    sealed.save(recipe={"regime": "50"})
    with pytest.raises(CheckError, match=r"tiny\.json has changed since it was opened"):
        assert pickle.loads(sent).data


def test_a_copy_checks_its_shards_itself(sealed: Any, split: Any) -> None:
    other = pickle.loads(pickle.dumps(split(sealed)))
    rows = other.data.rows("train")
    (sealed.root / sealed.index.shard[rows[0]]).write_bytes(b"something else")
    with (
        pytest.raises(CheckError, match=sealed.index.shard[rows[0]]),
        closing(other.samples(rows)) as samples,
    ):
        list(samples)


def test_the_order_of_some_shards_shows_their_images_once(shared: Any, split: Any) -> None:
    opened = split(shared)
    whole = opened.order(0).epoch(1)
    numbers = sorted({*opened.data.shard[whole].tolist()})
    parts = [opened.order(0, numbers[i::2]).epoch(1) for i in range(2)]
    assert sorted(np.concatenate(parts)) == sorted(whole)
    assert opened.order(1).epoch(1).tolist() != whole.tolist()


def test_shards_behind_a_url_are_fetched_when_they_are_needed(
    sealed: Any, split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(folder=tmp_path / "cache", max_bytes=10**9)
    asked: list[tuple[Any, ...]] = []

    def locate(*arguments: Any) -> Any:
        asked.append(arguments)
        located = sealed.located()
        monkeypatch.setattr(located.source, "at_hand", False)
        return located

    monkeypatch.setattr("trainer.stream.opened.locate", locate)
    opened = split(sealed, manifest="s3://b/manifests/tiny.json", cache=cache)
    assert asked == [("s3://b/manifests/tiny.json", None, cache)]
    assert opened.data is opened.data
    monkeypatch.setattr("os.getpid", lambda: 1)  # in a forked process connections do not work
    assert opened.data is opened.data
    assert len(asked) == 2
