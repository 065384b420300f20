import errno
import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from builder.contract import CheckError, UsageError, sha256_file
from builder.store import Cache
from trainer import train as module
from trainer.cli import main
from trainer.recipe import Recipe
from trainer.sweep import Grid
from trainer.train import Config, rescore, sweep, train

FILES = [
    ".lock",
    "best.safetensors",
    "config.json",
    "curves.png",
    "history.csv",
    "last.pt",
    "predictions.parquet",
    "receipts.csv",
    "report.json",
    "report.md",
    "timing.csv",
]


def config(sealed: Any, out: Path, **changes: Any) -> Config:
    recipe = {
        "epochs": 2, "batch": 16, "lr": 1e-3, "optimizer": "adam", "augment": "none",
        "init": "random", "seed": 0, "arm": "gan", "mix": "real=1,synthetic=1", "steps": "equal",
        "precision": "fp32", "accumulate": 1, "compile": False,
    }  # fmt: skip
    place = {
        "shards": str(sealed.path), "shards_root": None, "device": "cpu", "workers": 2,
        "resume": False, "skip_bad": False, "ram_bytes": 0, "save_every": 3600.0, "track": (),
        "cache": Cache(folder=out / "cache", max_bytes=10**9),
    }  # fmt: skip
    for words in (place, recipe):
        words |= {name: changes.pop(name) for name in [*changes] if name in words}
    assert not changes
    return Config(out=out, recipe=Recipe(**recipe), **place)


@pytest.fixture(scope="module")
def done(shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of DenseNet-121 that others look at."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(config(shared, out))
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
    train(config(shared, tmp_path / "again"))
    train(config(shared, tmp_path / "other", seed=1, epochs=1))
    history = (done / "history.csv").read_bytes()
    assert (tmp_path / "again/history.csv").read_bytes() == history
    assert (tmp_path / "other/history.csv").read_bytes().splitlines()[1] not in history
    assert sha256_file(tmp_path / "again/best.safetensors") == sha256_file(
        done / "best.safetensors"
    )


def test_resuming_ends_at_the_unbroken_weights(shared: Any, done: Path, tmp_path: Path):
    out = tmp_path / "run"
    train(config(shared, out, epochs=1))
    train(config(shared, out, resume=True))
    assert (out / "history.csv").read_bytes() == (done / "history.csv").read_bytes()
    a, b = (torch.load(d / "last.pt", weights_only=True)["model"] for d in (out, done))
    assert all(torch.equal(a[name], b[name]) for name in b)


def test_starting_from_its_own_weights_keeps_what_was_learnt(
    shared: Any, done: Path, tmp_path: Path
):
    asked = config(shared, tmp_path / "on", init=str(done / "best.safetensors"), epochs=1, lr=1e-7)
    report = train(asked)
    assert report["pathologies"][0]["test"]["auc"] > 0.8
    assert report["config"]["init_sha256"] == sha256_file(done / "best.safetensors")


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in DenseNet's place, for tests of everything else."""

    def build(names: Any, **_: Any) -> torch.nn.Module:
        torch.manual_seed(0)
        layers = (
            torch.nn.Flatten(),
            torch.nn.BatchNorm1d(32 * 32),
            torch.nn.Linear(32 * 32, len(names)),
        )
        return torch.nn.Sequential(*layers)

    monkeypatch.setattr(module, "build", build)


def test_shards_may_lie_elsewhere(sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    quick(monkeypatch)
    (tmp_path / "big").mkdir()
    (sealed.root / "shards").rename(tmp_path / "big/shards")
    train(config(sealed, tmp_path / "a", shards_root=str(tmp_path / "big"), epochs=1, lr=1e-9))
    (tmp_path / "big/manifests").mkdir()
    (sealed.root / "manifests/tiny.parquet").rename(tmp_path / "big/manifests/tiny.parquet")
    train(config(sealed, tmp_path / "b", shards_root=str(tmp_path / "big"), epochs=1, lr=1e-9))


def test_a_used_folder_is_refused_without_resume(sealed: Any, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty: go on with --resume"):
        train(config(sealed, tmp_path))
    with pytest.raises(UsageError, match="holds no run to resume"):
        train(config(sealed, tmp_path, resume=True))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_resume_starts_from_nothing_where_nothing_was_done(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    quick(monkeypatch)
    train(config(sealed, tmp_path / "new", resume=True, lr=1e-9))
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
        train(config(sealed, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_no_test_split_trains_and_says_so(
    tmp_path: Path, sealer: Any, monkeypatch: pytest.MonkeyPatch
):
    quick(monkeypatch)
    sealed = sealer(tmp_path / "data", counts={("train", "real"): 40, ("val", "real"): 30})
    report = train(config(sealed, tmp_path / "run", lr=1e-9, arm="none"))
    assert any("no test images" in note for note in report["notes"])
    assert all(row["test"] is None for row in report["pathologies"])
    assert np.isfinite(report["best_val_loss"])


def test_images_too_small_for_the_network_are_refused(sealed: Any, tmp_path: Path):
    sealed.save(image=replace(sealed.manifest.image, height=28))
    with pytest.raises(UsageError, match="28×32 pixels are too small"):
        train(config(sealed, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_corrupt_image_stops_the_run_and_is_counted_with_skip_bad(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
):
    quick(monkeypatch)
    row = np.flatnonzero(sealed.index.split == split)[-1]
    with (sealed.root / sealed.index.shard[row]).open("r+b") as tar:
        tar.seek(int(sealed.index.offset[row]))
        tar.write(b"not an image at all")
    sealed.reseal()
    with pytest.raises(CheckError, match=f"{sealed.index.shard[row]}.*{sealed.index.key[row]}"):
        train(config(sealed, tmp_path / "run", lr=1e-9))
    assert not (tmp_path / "run").exists()
    found = train(config(sealed, tmp_path / "skip", lr=1e-9, skip_bad=True))
    assert found["unread"] == (split != "train")
    assert sealed.index.key[row] in (tmp_path / "skip/unread.csv").read_text()


def test_too_little_memory_is_one_sentence(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fit(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    quick(monkeypatch)
    monkeypatch.setattr(module, "fit", fit)
    with pytest.raises(UsageError, match="smaller --batch"):
        train(config(sealed, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_each_arm_trains_and_says_what_it_showed(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    quick(monkeypatch)
    found = {
        arm: train(config(sealed, tmp_path / arm, arm=arm, lr=1e-9))
        for arm in ("none", "flip", "gan", "oversample", "pretrain", "classweight")
    }
    assert {facts["steps"] for facts in found.values()} == {18}
    shown = {arm: [row["shown"] for row in facts["pathologies"]] for arm, facts in found.items()}
    assert shown["oversample"] == shown["gan"]
    assert shown["none"] != shown["gan"]
    assert found["gan"]["shown"] == {"real": 97, "synthetic": 32}
    assert found["oversample"]["shown"] == {"real": 129, "synthetic": 0}
    assert "Arm oversample: 18 steps" in (tmp_path / "oversample/report.md").read_text()
    assert found["flip"]["config"]["augment"] == "flip"


def test_the_command_in_the_report_is_understood(shared: Any, done: Path):
    words = shlex.split(json.loads((done / "report.json").read_text())["command"])
    context = main.commands["fit"].make_context("fit", words[1:])
    asked = context.params
    assert (asked["arm"], asked["epochs"], asked["mix"]) == ("gan", 2, "real=1,synthetic=1")
    assert asked["shards"] == str(shared.path)


def test_rescoring_writes_the_same_report_and_refuses_another_dataset(
    shared: Any, done: Path, tmp_path: Path, sealer: Any
):
    copy = tmp_path / "copy"
    shutil.copytree(done, copy)
    (copy / "report.json").unlink()
    (copy / "predictions.parquet").unlink()
    rescore(config(shared, copy))
    assert (copy / "predictions.parquet").read_bytes() == (
        done / "predictions.parquet"
    ).read_bytes()
    one, two = (json.loads((folder / "report.json").read_text()) for folder in (copy, done))
    assert one["pathologies"] == two["pathologies"]
    other = sealer(tmp_path / "other", counts={("train", "real"): 40, ("val", "real"): 30})
    with pytest.raises(UsageError, match="for another dataset use xtrain predict"):
        rescore(config(other, copy, arm="none"))
    with pytest.raises(UsageError, match="is missing: name the folder of a run"):
        rescore(config(shared, tmp_path / "nothing"))


def test_two_runs_do_not_share_a_folder(
    sealed: Any, tmp_path: Path, monkeypatch: Any, locked: Callable[..., Any]
):
    quick(monkeypatch)
    out = tmp_path / "run"
    with locked(out):
        with pytest.raises(UsageError, match="Another xtrain is writing into"):
            train(config(sealed, out, lr=1e-9))
        assert [path.name for path in out.iterdir()] == [".lock"]
    leftover = out / ".last.pt.1-0a.tmp"  # of a process that was killed
    leftover.touch()
    train(config(sealed, out, lr=1e-9))
    assert (out / "report.json").is_file()
    assert not leftover.exists()


def test_a_file_system_without_locks_is_left_to_the_users_care(
    sealed: Any, tmp_path: Path, monkeypatch: Any
):
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    quick(monkeypatch)
    monkeypatch.setattr("fcntl.flock", flock)
    train(config(sealed, tmp_path / "run", lr=1e-9))
    other = tmp_path / "run/.last.pt.1-0a.tmp"  # another process may be writing it
    other.touch()
    train(config(sealed, tmp_path / "run", lr=1e-9, resume=True))
    assert other.exists()
    grid = Grid(lr=(1e-9,), batch=(16,), optimizer=("adam",))
    with pytest.raises(UsageError, match=r"without locks \(No locks available\), so processes"):
        sweep(config(sealed, tmp_path / "sweep"), grid, None)


def test_a_sweep_scores_test_once_by_the_best_point(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    quick(monkeypatch)
    scored, score = [], module.score

    def watched(ready: Any, recipe: Recipe, out: Path) -> Any:
        scored.append(recipe)
        return score(ready, recipe, out)

    monkeypatch.setattr(module, "score", watched)
    grid = Grid(lr=(1e-9, 1e-3), batch=(16,), optimizer=("adam", "momentum"))
    asked = config(sealed, tmp_path / "sweep")
    trials, found = sweep(asked, grid, None)
    assert len(trials) == 4
    best = max(trials, key=lambda trial: trial.val_auc)
    assert [(r.lr, r.optimizer) for r in scored] == [(best.params.lr, best.params.optimizer)]
    reports = [path.parent.name for path in (tmp_path / "sweep").rglob("report.json")]
    assert reports == [best.folder]
    again, same = sweep(asked, grid, None)
    assert len(scored) == 1
    assert [t.params for t in again] == [t.params for t in trials]
    assert same["pathologies"] == found["pathologies"]
