import pickle
import sys
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
import webdataset

from builder.contract import CheckError, UsageError
from trainer.stream.batches import Dataset
from trainer.stream.pipeline import SealedPipeline, webdataset_pipeline


@pytest.fixture
def make(shared: Any) -> Callable[..., SealedPipeline]:
    """The function that makes a pipeline over the read-only dataset: (split, field=value …)."""
    return lambda *split, **options: webdataset_pipeline(shared.path, *split, **options)


@pytest.fixture
def rank(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The function that makes this process one of several, as webdataset finds out."""

    def be(rank: int, ranks: int, worker: int = 0, workers: int = 1) -> None:
        names = ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS")
        for name, value in zip(names, (rank, ranks, worker, workers), strict=True):
            monkeypatch.setenv(name, str(value))

    return be


def keys(pipeline: Any) -> list[str]:
    return [sample["__key__"] for sample in pipeline]


def test_it_is_a_datapipeline_of_decoded_samples(make: Any, data: Dataset) -> None:
    pipeline = make("val")
    assert isinstance(pipeline, webdataset.DataPipeline)
    samples = list(pipeline)
    rows = data.rows("val")
    assert [sample["__key__"] for sample in samples] == data.index.key[rows].tolist()
    assert [sample["__url__"] for sample in samples] == data.index.shard[rows].tolist()
    labels = torch.stack([sample["labels"] for sample in samples])
    assert np.array_equal(labels.nan_to_num(-1), data.index.labels[rows])
    assert {(s["pixel_values"].dtype, s["pixel_values"].shape) for s in samples} == {
        (torch.uint8, (1, 32, 32))
    }


def test_training_images_come_once_in_an_order_of_seed_and_epoch(make: Any, data: Dataset) -> None:
    pipeline = make(seed=5)
    first = keys(pipeline)
    assert sorted(first) == sorted(data.index.key[data.rows("train")])
    assert first == keys(pipeline) == keys(make(seed=5))
    pipeline.set_epoch(1)
    second = keys(pipeline)
    assert sorted(second) == sorted(first)
    assert first != second != keys(make(seed=5))
    assert keys(make(seed=6)) != first
    halves = [
        np.mean([key.startswith("synthetic") for key in half]) for half in (first[:64], first[64:])
    ]
    assert abs(halves[0] - halves[1]) < 0.05


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2])
def test_ranks_and_workers_divide_the_shards(
    make: Any, data: Dataset, rank: Any, ranks: int, workers: int
) -> None:
    parts = []
    for one in range(ranks):
        for worker in range(workers):
            rank(one, ranks, worker, workers)
            parts.append(keys(make()))
    assert sorted(chain.from_iterable(parts)) == sorted(data.index.key[data.rows("train")])
    if ranks * workers == 2:  # two shards of each origin
        assert all({key.split("-")[0] for key in part} == {"real", "synthetic"} for part in parts)


def test_fewer_shards_than_ranks_are_refused(make: Any, rank: Any) -> None:
    rank(0, 5)
    with pytest.raises(UsageError, match="4 shards cannot be divided among 5 ranks"):
        next(iter(make()))


@pytest.mark.parametrize("workers", [0, 2])
def test_webdatasets_loader_and_stages(make: Any, data: Dataset, workers: int) -> None:
    pipeline = make(threads=1)
    loader = webdataset.WebLoader(pipeline, batch_size=10, num_workers=workers)
    orders = []
    for epoch in (0, 1):
        pipeline.set_epoch(epoch)
        orders.append([key for batch in loader for key in batch["__key__"]])
        assert sorted(orders[-1]) == sorted(data.index.key[data.rows("train")])
    assert orders[0] != orders[1]
    batched = pipeline.compose(
        webdataset.to_tuple("pixel_values", "labels"), webdataset.batched(16)
    )
    batched.set_epoch(2)
    images, labels = next(iter(batched))
    assert (images.shape, labels.shape) == ((16, 1, 32, 32), (16, 3))


def test_an_epoch_of_another_length(make: Any) -> None:
    once = keys(make())
    assert keys(make().with_epoch(50)) == once[:50]
    assert keys(make().with_epoch(150)) == once + once[: 150 - 129]


def test_one_origin_alone(make: Any, data: Dataset) -> None:
    found = keys(make(origin="real"))
    assert sorted(found) == sorted(data.index.key[data.rows("train", "real")])


def test_copies_show_the_same(make: Any) -> None:
    pipeline = make()
    pipeline.set_epoch(1)
    assert keys(pickle.loads(pickle.dumps(pipeline))) == keys(pipeline)


def test_a_changed_shard_is_refused(sealed: Any) -> None:
    shard = sealed.manifest.shardlist[-1]
    tar = bytearray((sealed.root / shard.url).read_bytes())
    tar[-1] ^= 1
    (sealed.root / shard.url).write_bytes(tar)
    with pytest.raises(CheckError, match=f"{shard.url} is not the shard that was sealed"):
        webdataset_pipeline(sealed.path, shard.split)


@pytest.mark.parametrize("place", ["manifest", "shards_root"])
def test_only_local_files_are_read(sealed: Any, place: str) -> None:
    asked = {"manifest": sealed.path, place: "https://example.org/manifests/gan10.json"}
    with pytest.raises(UsageError, match="webdataset_pipeline reads local files, not https://"):
        webdataset_pipeline(**asked)


def test_no_opener_and_no_decoder_of_webdataset_runs(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("webdataset opened or decoded something")

    monkeypatch.setattr(sys.modules["webdataset.gopen"], "gopen", never)
    monkeypatch.setattr("webdataset.autodecode.Decoder.__call__", never)
    monkeypatch.setattr("tarfile.open", never)
    monkeypatch.setenv("GOPEN_REWRITE", "shards=pipe:echo ")
    assert len(keys(make())) == 129
