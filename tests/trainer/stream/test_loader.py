import copy
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from builder.contract import UsageError
from trainer.arms import make_arm
from trainer.recipe import Recipe
from trainer.stream import loader
from trainer.stream.batches import Dataset, batches
from trainer.stream.loader import StreamDataset
from trainer.stream.order import cut

BATCH = 16
Keys = list[str]


# --- what comes ----------------------------------------------------------------------------------


def test_batches_are_those_of_xtrain(make: Any, data: Dataset, recipe: Recipe) -> None:
    order = make_arm(replace(recipe, augment="none"), data).order
    dataset = make(batch=BATCH)
    for epoch in (0, 2):
        dataset.set_epoch(epoch)
        asked: dict[str, Any] = {"size": BATCH, "workers": 1, "what": None}
        theirs = list(batches(data, order.epoch(epoch + 1), **asked))
        ours = list(dataset)
        assert len(ours) == len(theirs) == len(dataset)
        for mine, batch in zip(ours, theirs, strict=True):
            assert torch.equal(mine["pixel_values"], batch.images)
            assert mine["pixel_values"].dtype == torch.uint8
            assert mine["key"] == data.index.key[batch.rows.numpy()].tolist()
            assert mine["labels"].dtype == torch.float32
            assert torch.equal(mine["labels"].nan_to_num(-1), batch.labels)
            assert torch.equal(mine["labels"].isnan(), batch.labels < 0)


def test_samples_come_in_the_order_of_xtrain_too(
    make: Any, epochs: list[list[str]], keys_of: Any
) -> None:
    dataset = make()
    assert len(dataset) == len(epochs[0])
    samples = list(dataset)
    assert keys_of(samples) == epochs[0]
    assert samples[0]["pixel_values"].shape == (1, 32, 32)
    assert samples[0]["labels"].shape == (3,)


def test_held_out_splits_come_in_sealed_order_in_every_epoch(
    make: Any, data: Dataset, keys_of: Any
) -> None:
    for split in ("val", "test"):
        dataset = make(split, batch=BATCH)
        sealed = data.index.key[data.rows(split)].tolist()
        assert keys_of(dataset) == sealed
        dataset.set_epoch(4)
        assert keys_of(dataset) == sealed


def test_one_origin_alone(make: Any, data: Dataset, keys_of: Any) -> None:
    for origin in ("real", "synthetic"):
        found = keys_of(make(batch=BATCH, origin=origin))
        assert sorted(found) == sorted(data.index.key[data.rows("train", origin)])
        assert found != data.index.key[data.rows("train", origin)].tolist()


def test_a_control_arm_through_its_order(
    make: Any, data: Dataset, recipe: Recipe, keys_of: Any
) -> None:
    order = make_arm(replace(recipe, arm="oversample", augment="none"), data).order
    dataset = make(batch=BATCH, order=order)
    assert keys_of(dataset) == data.index.key[order.epoch(1)].tolist()
    assert len(dataset) == -(-order.count(1) // BATCH)


def test_another_seed_is_another_order(make: Any, epochs: list[list[str]], keys_of: Any) -> None:
    other = keys_of(make(seed=1))
    assert sorted(other) == sorted(epochs[0])
    assert other != epochs[0]
    assert keys_of(make(seed=0)) == epochs[0]


def test_the_names_of_the_labels(make: Any, shared: Any) -> None:
    assert make().pathologies == shared.manifest.pathologies


# --- PyTorch's DataLoader ------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_dataloader_keeps_the_order_of_batches(
    make: Any, epochs: list[list[str]], workers: int, keys_of: Any
) -> None:
    dataset = make(batch=BATCH, threads=1)
    loaded = DataLoader(dataset, batch_size=None, num_workers=workers)
    assert len(loaded) == len(dataset)
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        assert keys_of(loaded) == epochs[epoch]


def test_workers_that_persist_follow_the_epoch(
    make: Any, epochs: list[list[str]], keys_of: Any
) -> None:
    dataset = make(batch=BATCH, threads=1)
    loaded = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        assert keys_of(loaded) == epochs[epoch]


def test_workers_that_are_spawned(make: Any, epochs: list[list[str]], keys_of: Any) -> None:
    dataset = make(batch=BATCH, threads=1)
    dataset.set_epoch(1)
    loaded = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert keys_of(loaded) == epochs[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataloader_makes_batches_of_samples(
    make: Any, epochs: list[list[str]], workers: int, keys_of: Any
) -> None:
    loaded = DataLoader(make(threads=1), batch_size=10, num_workers=workers)
    found = list(loaded)
    assert keys_of(found) == epochs[0]
    assert found[0]["pixel_values"].shape == (10, 1, 32, 32)
    assert found[0]["labels"].shape == (10, 3)


def test_several_workers_would_mix_up_samples(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "get_worker_info", lambda: SimpleNamespace(id=0, num_workers=2))
    with pytest.raises(UsageError, match="give batch= here and batch_size=None"):
        iter(make())


# --- ranks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_take_as_many_steps_and_see_each_sample_once(
    make: Any, epochs: list[list[str]], ranks: Any, size: int, keys_of: Any
) -> None:
    parts = []
    for rank in range(size):
        ranks(rank, size)
        parts.append(list(make(batch=BATCH)))
    assert {len(part) for part in parts} == {len(make(batch=BATCH))}
    seen = [key for part in parts for key in keys_of(part)]
    assert sorted(seen) == sorted(epochs[0])
    place = 0
    for step in zip(*parts, strict=True):  # each step holds the batch that one rank would have
        count = sum(len(item["key"]) for item in step)
        assert {*keys_of(step)} == {*epochs[0][place : place + count]}
        place += count


RANK = """
import json, sys
from torch.distributed import destroy_process_group, init_process_group
from torch.utils.data import DataLoader
from trainer.stream.loader import StreamDataset
manifest, meet, rank, workers = *sys.argv[1:3], *map(int, sys.argv[3:])
init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
dataset = StreamDataset(manifest, batch=16, threads=1)
loader = DataLoader(dataset, batch_size=None, num_workers=workers)
print(json.dumps([batch["key"] for batch in loader]))
destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.long), 2])
def test_two_processes_of_a_real_process_group(
    shared: Any, epochs: list[list[str]], tmp_path: Path, workers: int
) -> None:
    command = [sys.executable, "-c", RANK, str(shared.path), str(tmp_path / "meet")]
    started = [
        subprocess.Popen([*command, str(rank), str(workers)], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    steps = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert len(steps[0]) == len(steps[1])
    seen = [key for pair in zip(*steps, strict=True) for step in pair for key in step]
    assert sorted(seen) == sorted(epochs[0])
    assert {*steps[0][0], *steps[1][0]} == {*epochs[0][: cut(129, 16)[0].stop]}


def test_ranks_of_torchrun_and_ranks_that_are_given(
    make: Any, monkeypatch: pytest.MonkeyPatch, keys_of: Any
) -> None:
    given = keys_of(make(batch=BATCH, share=(1, 2)))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert keys_of(make(batch=BATCH)) == given
    assert len(keys_of(make(batch=BATCH, share=(0, 1)))) > len(given)


def test_a_rank_stays_one_in_a_worker_that_knows_no_ranks(
    make: Any, ranks: Any, keys_of: Any
) -> None:
    dataset = make(batch=BATCH)
    ranks(1, 2)
    expected = keys_of(dataset)
    sent = pickle.dumps(dataset)
    ranks(0, 1)
    assert keys_of(pickle.loads(sent)) == expected


def test_ranks_cannot_divide_samples_or_tiny_batches(make: Any, ranks: Any) -> None:
    ranks(0, 2)
    with pytest.raises(UsageError, match="Single samples do not come out even for 2 ranks"):
        iter(make())
    assert len(list(make(share=(0, 1)))) == len(make())
    with pytest.raises(UsageError, match="A batch of 1 images cannot be divided among 2 ranks"):
        iter(make(batch=1))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "There is no split 'dev': choose train, val, test"),
        ({"origin": "fake"}, "There is no origin 'fake'"),
        ({"split": "val", "origin": "synthetic"}, "has no synthetic images in its split val"),
        ({"batch": 0}, "batch=0 holds no image"),
        ({"threads": 0}, "threads=0 decodes nothing"),
        ({"share": (2, 2)}, r"share=\(2, 2\) is no \(rank, ranks\)"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(options.pop("split", "train"), **options)


def test_an_order_says_all_or_belongs_to_another_dataset(
    make: Any, data: Dataset, recipe: Recipe
) -> None:
    order = make_arm(recipe, data).order
    for split, more in (("val", {}), ("train", {"seed": 0}), ("train", {"origin": "real"})):
        with pytest.raises(UsageError, match="leave out origin= and seed="):
            make(split, order=order, **more)
    with pytest.raises(UsageError, match="order= belongs to another dataset"):
        make(order=replace(order, key=f"{'0' * 64} 0"))


def test_there_is_no_epoch_before_the_first(make: Any) -> None:
    with pytest.raises(UsageError, match="There is no epoch -1: epochs count from 0"):
        make().set_epoch(-1)


def test_copies_show_the_same(make: Any, epochs: list[list[str]], keys_of: Any) -> None:
    dataset = make(batch=BATCH)
    dataset.set_epoch(2)
    next(iter(dataset))
    for other in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert keys_of(other) == epochs[2]
        other.set_epoch(0)
        assert dataset.epoch == 2


def test_real_images_are_mixed_with_synthetic_ones(make: Any) -> None:
    for item in make(batch=32):
        synthetic = np.mean([key.startswith("synthetic") for key in item["key"]])
        assert abs(synthetic - 32 / 129) < 0.05


def test_a_manifest_elsewhere_than_its_shards(sealed: Any, tmp_path: Path, keys_of: Any) -> None:
    lock = tmp_path / "lock"
    lock.mkdir()
    (sealed.root / "manifests").rename(lock / "manifests")
    manifest = lock / "manifests" / sealed.path.name
    dataset = StreamDataset(manifest, "val", batch=BATCH, shards_root=sealed.root)
    assert len(keys_of(dataset)) == 40
