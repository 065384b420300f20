import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from builder.contract import CheckError, UsageError, sha256_file
from trainer import train as module
from trainer.fit import Recipe
from trainer.train import Config, train

FILES = [
    "best.safetensors",
    "config.json",
    "curves.png",
    "history.csv",
    "last.pt",
    "predictions.parquet",
    "report.json",
    "report.md",
    "timing.csv",
]


def config(sealed: Any, out: Path, **changes: Any) -> Config:
    recipe = {
        "epochs": 2, "batch": 16, "lr": 1e-3, "optimizer": "adam", "augment": "none",
        "init": "random", "seed": 0,
    }  # fmt: skip
    return Config(
        shards=sealed.path,
        shards_root=changes.pop("root", sealed.root),
        out=out,
        device="cpu",
        workers=2,
        resume=changes.pop("resume", False),
        recipe=Recipe(**(recipe | changes)),
    )


@pytest.fixture(scope="module")
def done(shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of DenseNet-121 that others look at."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(shared.manifest, config(shared, out))
    return out


def test_a_run_leaves_its_files_and_learns(done: Path):
    assert sorted(path.name for path in done.iterdir()) == FILES
    report = json.loads((done / "report.json").read_text())
    lesion, hernia, fracture = report["pathologies"]
    assert lesion["pathology"] == "Lung Lesion"
    assert min(lesion["test"]["auc"], fracture["test"]["auc"]) > 0.8
    assert hernia["test"]["auc"] is None
    predictions = pq.read_table(done / "predictions.parquet").to_pandas()
    part = predictions[(predictions.split == "test") & (predictions["label:Lung Lesion"] >= 0)]
    again = roc_auc_score(part["label:Lung Lesion"], part["probability:Lung Lesion"])
    assert lesion["test"]["auc"] == pytest.approx(again)
    best = json.loads((done / "config.json").read_text())
    assert best["manifest_sha256"] == report["manifest"]["digest"]


def test_one_seed_gives_one_history_and_another_gives_another(
    shared: Any, done: Path, tmp_path: Path
):
    train(shared.manifest, config(shared, tmp_path / "again"))
    train(shared.manifest, config(shared, tmp_path / "other", seed=1, epochs=1))
    history = (done / "history.csv").read_bytes()
    assert (tmp_path / "again/history.csv").read_bytes() == history
    assert (tmp_path / "other/history.csv").read_bytes().splitlines()[1] not in history
    assert sha256_file(tmp_path / "again/best.safetensors") == sha256_file(
        done / "best.safetensors"
    )


def test_resuming_ends_at_the_unbroken_weights(shared: Any, done: Path, tmp_path: Path):
    out = tmp_path / "run"
    train(shared.manifest, config(shared, out, epochs=1))
    train(shared.manifest, config(shared, out, resume=True))
    assert (out / "history.csv").read_bytes() == (done / "history.csv").read_bytes()
    a, b = (torch.load(d / "last.pt", weights_only=True)["model"] for d in (out, done))
    assert all(torch.equal(a[name], b[name]) for name in b)


def test_starting_from_its_own_weights_keeps_what_was_learnt(
    shared: Any, done: Path, tmp_path: Path
):
    asked = config(shared, tmp_path / "on", init=str(done / "best.safetensors"), epochs=1, lr=1e-7)
    report = train(shared.manifest, asked)
    assert report["pathologies"][0]["test"]["auc"] > 0.8
    assert report["config"]["init_sha256"] == sha256_file(done / "best.safetensors")


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in DenseNet's place, for tests of everything else."""

    def build(names: Any, **_: Any) -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, len(names)))

    monkeypatch.setattr(module, "build", build)


def test_shards_may_lie_elsewhere(sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    quick(monkeypatch)
    (tmp_path / "big").mkdir()
    (sealed.root / "shards").rename(tmp_path / "big/shards")
    train(sealed.manifest, config(sealed, tmp_path / "a", root=tmp_path / "big", epochs=1, lr=1e-9))
    (tmp_path / "big/manifests").mkdir()
    (sealed.root / "manifests/tiny.parquet").rename(tmp_path / "big/manifests/tiny.parquet")
    train(sealed.manifest, config(sealed, tmp_path / "b", root=tmp_path / "big", epochs=1, lr=1e-9))


def test_a_used_folder_is_refused_without_resume(sealed: Any, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty: go on with --resume"):
        train(sealed.manifest, config(sealed, tmp_path))
    with pytest.raises(UsageError, match="holds no run to resume"):
        train(sealed.manifest, config(sealed, tmp_path, resume=True))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_resume_starts_from_nothing_where_nothing_was_done(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    quick(monkeypatch)
    train(sealed.manifest, config(sealed, tmp_path / "new", resume=True, lr=1e-9))
    assert (tmp_path / "new/report.json").is_file()


@pytest.mark.parametrize(
    ("split", "words"),
    [("train", "no training images"), ("val", "no validation images .* --holdout 0.05 0.05")],
)
def test_an_empty_split_is_refused(tmp_path: Path, sealer: Any, split: str, words: str):
    counts = {("train", "real"): 20, ("val", "real"): 20, ("test", "real"): 20}
    del counts[split, "real"]
    sealed = sealer(tmp_path / "data", counts=counts)
    with pytest.raises(UsageError, match=words):
        train(sealed.manifest, config(sealed, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_no_test_split_trains_and_says_so(
    tmp_path: Path, sealer: Any, monkeypatch: pytest.MonkeyPatch
):
    quick(monkeypatch)
    sealed = sealer(tmp_path / "data", counts={("train", "real"): 40, ("val", "real"): 30})
    report = train(sealed.manifest, config(sealed, tmp_path / "run", lr=1e-9))
    assert any("no test images" in note for note in report["notes"])
    assert all(row["test"] is None for row in report["pathologies"])
    assert np.isfinite(report["best_val_loss"])


def test_images_too_small_for_the_network_are_refused(sealed: Any, tmp_path: Path):
    tiny = replace(sealed.manifest, image=replace(sealed.manifest.image, height=28))
    with pytest.raises(UsageError, match="28×32 pixels are too small"):
        train(tiny, config(sealed, tmp_path / "run"))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_corrupt_image_stops_the_run_before_anything_is_written(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
):
    quick(monkeypatch)
    row = np.flatnonzero(sealed.index.split == split)[-1]
    with (sealed.root / sealed.index.shard[row]).open("r+b") as tar:
        tar.seek(int(sealed.index.offset[row]))
        tar.write(b"not an image at all")
    sealed.reseal()
    with pytest.raises(CheckError, match=f"{sealed.index.shard[row]}.*{sealed.index.key[row]}"):
        train(sealed.manifest, config(sealed, tmp_path / "run", lr=1e-9))
    assert not (tmp_path / "run").exists()


def test_too_little_memory_is_one_sentence(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fit(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    quick(monkeypatch)
    monkeypatch.setattr(module, "fit", fit)
    with pytest.raises(UsageError, match="smaller --batch"):
        train(sealed.manifest, config(sealed, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
