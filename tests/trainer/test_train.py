import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from builder.contract import CheckError, Manifest, UsageError, sha256_file
from builder.contract.record import read_record
from trainer import train as module
from trainer.cli import main
from trainer.config import RunPlan
from trainer.evaluate.external import external_tests
from trainer.evaluate.external_scores import ExternalScores, scores_path
from trainer.predict import predict_shards
from trainer.recipe import ARMS, Recipe
from trainer.report import RunReport
from trainer.stream.locate import Located
from trainer.sweep import Grid
from trainer.train import Ready, rescore, score_elsewhere, sweep, train

PlanOf = Callable[..., tuple[RunPlan, Located]]
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


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"epochs": 1' + "0" * 400 + "}", "\xff"])
def test_a_damaged_report_of_a_sweeps_winner_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text, encoding="latin1")
    nothing: Any = None
    plan: Any = SimpleNamespace(out=tmp_path)
    with pytest.raises((CheckError, UsageError), match=r"report\.json"):
        module._score_once(nothing, plan)


@pytest.fixture(scope="module")
def done(shared: Any, plan_of: PlanOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of DenseNet-121 to read only."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(*plan_of(shared, out))
    return out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in DenseNet's place, for tests of everything else."""

    def build_for(manifest: Manifest, _: object) -> torch.nn.Module:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(32 * 32))
        network.add_module("classifier", torch.nn.Linear(32 * 32, len(manifest.pathologies)))
        return network

    monkeypatch.setattr(module, "build_for", build_for)


def test_a_run_leaves_its_files_and_learns(done: Path) -> None:
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
    config = json.loads((done / "config.json").read_text())
    assert config["manifest_sha256"] == report["manifest"]["digest"]


def test_a_run_that_exists_is_scored_elsewhere_once_and_not_trained(
    shared: Any, done: Path, plan_of: PlanOf, sealer: Callable[..., Any], tmp_path: Path
) -> None:
    there = sealer(tmp_path / "there", counts={("train", "real"): 9, ("test", "real"): 60})
    out = shutil.copytree(done, tmp_path / "run")
    plan, found = plan_of(shared, out)
    tests = external_tests([(str(there.path), there.located())], found, ())
    plan = replace(plan, tests=tests)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    score_elsewhere(plan)
    path = scores_path(out, tests[0])
    written = path.stat().st_mtime_ns
    score_elsewhere(plan)
    assert path.stat().st_mtime_ns == written
    del before[".lock"]
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    scores = {row.pathology: row for row in read_record(path, ExternalScores).scores}
    assert (scores["Fracture"].auc or 0) > 0.8
    table = pq.read_table(path.with_suffix(".parquet")).to_pandas()
    predicted = tmp_path / "scores.parquet"
    cpu = torch.device("cpu")
    predict_shards(
        out / "best.safetensors", there.located(), split="test", out=predicted, batch=None,
        workers=1, device=cpu, skip_bad=False,
    )  # fmt: skip
    again = pq.read_table(predicted).to_pandas()
    assert list(table["probability:Fracture"]) == list(again["Fracture"])  # bit for bit
    rescore(plan, found)  # again, on every test
    assert path.stat().st_mtime_ns > written
    (out / "best.safetensors").unlink()
    path.unlink()
    with pytest.raises(UsageError, match=r"best\.safetensors is missing"):
        score_elsewhere(plan)


def test_one_seed_gives_one_history_and_another_gives_another(
    shared: Any, done: Path, plan_of: PlanOf, tmp_path: Path
) -> None:
    train(*plan_of(shared, tmp_path / "again"))
    train(*plan_of(shared, tmp_path / "other", seed=1, epochs=1))
    history = (done / "history.csv").read_bytes()
    assert (tmp_path / "again/history.csv").read_bytes() == history
    assert (tmp_path / "other/history.csv").read_bytes().splitlines()[1] not in history
    assert sha256_file(tmp_path / "again/best.safetensors") == sha256_file(
        done / "best.safetensors"
    )


def test_resuming_ends_at_the_unbroken_weights(
    shared: Any, done: Path, plan_of: PlanOf, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train(*plan_of(shared, out, epochs=1))
    train(*plan_of(shared, out, resume=True))
    assert (out / "history.csv").read_bytes() == (done / "history.csv").read_bytes()
    a, b = (torch.load(d / "last.pt", weights_only=True)["model"] for d in (out, done))
    assert all(torch.equal(a[name], b[name]) for name in b)


def test_starting_from_its_own_weights_keeps_what_was_learnt(
    shared: Any, done: Path, plan_of: PlanOf, tmp_path: Path
) -> None:
    init = done / "best.safetensors"
    report = train(*plan_of(shared, tmp_path / "on", init=str(init), epochs=1, lr=1e-7))
    test = report.pathologies[0].test
    assert test is not None
    assert test.auc is not None
    assert test.auc > 0.8
    assert report.config.init_sha256 == sha256_file(init)


@pytest.mark.usefixtures("quick")
def test_shards_may_lie_elsewhere(sealed: Any, plan_of: PlanOf, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (sealed.root / "shards").rename(big / "shards")
    elsewhere = {"shards_root": str(big), "epochs": 1, "lr": 1e-9}
    train(*plan_of(sealed, tmp_path / "a", **elsewhere))
    (big / "manifests").mkdir()
    (sealed.root / "manifests/tiny.parquet").rename(big / "manifests/tiny.parquet")
    train(*plan_of(sealed, tmp_path / "b", **elsewhere))


@pytest.mark.usefixtures("quick")
def test_resume_starts_from_nothing_where_nothing_was_done(
    sealed: Any, plan_of: PlanOf, tmp_path: Path
) -> None:
    train(*plan_of(sealed, tmp_path / "new", resume=True, lr=1e-9))
    assert (tmp_path / "new/report.json").is_file()


@pytest.mark.usefixtures("quick")
def test_no_test_split_trains_and_says_so(
    tmp_path: Path, sealer: Callable[..., Any], plan_of: PlanOf
) -> None:
    sealed = sealer(tmp_path / "data", counts={("train", "real"): 40, ("val", "real"): 30})
    report = train(*plan_of(sealed, tmp_path / "run", lr=1e-9, arm="none"))
    assert any("no test images" in note for note in report.notes)
    assert all(row.test is None for row in report.pathologies)
    assert np.isfinite(report.best_val_loss)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_corrupt_image_stops_the_run_and_is_counted_with_skip_bad(
    sealed: Any, plan_of: PlanOf, tmp_path: Path, split: str
) -> None:
    row = np.flatnonzero(sealed.index.split == split)[-1]
    sealed.spoil_image(row)
    with pytest.raises(CheckError, match=f"{sealed.index.shard[row]}.*{sealed.index.key[row]}"):
        train(*plan_of(sealed, tmp_path / "run", lr=1e-9))
    assert not (tmp_path / "run").exists()
    report = train(*plan_of(sealed, tmp_path / "skip", lr=1e-9, skip_bad=True))
    assert report.unread == (split != "train")
    assert sealed.index.key[row] in (tmp_path / "skip/unread.csv").read_text()


@pytest.mark.usefixtures("quick")
def test_each_arm_trains_and_says_what_it_showed(
    sealed: Any, plan_of: PlanOf, tmp_path: Path
) -> None:
    found: dict[str, RunReport] = {
        arm: train(*plan_of(sealed, tmp_path / arm, arm=arm, lr=1e-9)) for arm in ARMS
    }
    assert {report.steps for report in found.values()} == {18}
    shown = {arm: [row.shown for row in report.pathologies] for arm, report in found.items()}
    assert shown["oversample"] == shown["gan"]
    assert shown["none"] != shown["gan"]
    gan, oversample = found["gan"].shown, found["oversample"].shown
    assert (gan.real, gan.synthetic) == (97, 32)
    assert (oversample.real, oversample.synthetic) == (129, 0)
    assert "Arm oversample: 18 steps" in (tmp_path / "oversample/report.md").read_text()
    assert found["flip"].config.recipe.augment == "flip"


def test_the_command_in_the_report_is_understood(shared: Any, done: Path) -> None:
    words = shlex.split(json.loads((done / "report.json").read_text())["command"])
    asked = main.commands["fit"].make_context("fit", words[1:]).params
    assert (asked["arm"], asked["epochs"], asked["mix"]) == ("gan", 2, "real=1,synthetic=1")
    assert asked["shards"] == str(shared.path)


def test_rescoring_writes_the_same_report_and_refuses_another_dataset(
    shared: Any, done: Path, plan_of: PlanOf, tmp_path: Path, sealer: Callable[..., Any]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy)
    (copy / "report.json").unlink()
    (copy / "predictions.parquet").unlink()
    rescore(*plan_of(shared, copy, precision="tf32"))  # which no CPU has, and no scoring needs
    predictions = [(folder / "predictions.parquet").read_bytes() for folder in (copy, done)]
    assert predictions[0] == predictions[1]
    one, two = (json.loads((folder / "report.json").read_text()) for folder in (copy, done))
    assert one["pathologies"] == two["pathologies"]
    assert (one["config"] | {"out": ""}, two["config"]["device"]) == (
        two["config"] | {"out": ""}, "cpu"
    )  # fmt: skip
    other = sealer(tmp_path / "other", counts={("train", "real"): 40, ("val", "real"): 30})
    with pytest.raises(UsageError, match="for another dataset use xtrain predict"):
        rescore(*plan_of(other, copy, arm="none"))
    with pytest.raises(UsageError, match="is missing: name the folder of a run"):
        rescore(*plan_of(shared, tmp_path / "nothing"))


def test_the_best_weights_must_be_those_of_the_history(
    shared: Any, done: Path, plan_of: PlanOf, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy)
    state = torch.load(copy / "last.pt", weights_only=True)
    state["history"] = [row | {"val_auc_mean": 0.5} for row in state["history"]]
    state["history"].append(state["history"][0] | {"epoch": 3, "val_auc_mean": 1.0})
    torch.save(state, copy / "last.pt")
    with pytest.raises(CheckError, match="the best one of the run is 3: finish the run"):
        rescore(*plan_of(shared, copy))
    (copy / "best.safetensors").unlink()
    with pytest.raises(UsageError, match="is missing: train the run again"):
        rescore(*plan_of(shared, copy))


@pytest.mark.usefixtures("quick")
def test_a_sweep_scores_test_once_by_the_best_point(
    sealed: Any, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored, score = list[Recipe](), module.score

    def watched(ready: Ready, plan: RunPlan) -> RunReport:
        scored.append(plan.recipe)
        return score(ready, plan)

    monkeypatch.setattr(module, "score", watched)
    grid = Grid(lr=(1e-9, 1e-3), batch=(16,), optimizer=("adam", "momentum"))
    asked = plan_of(sealed, tmp_path / "sweep")
    trials, found = sweep(*asked, grid, None)
    assert len(trials) == 4
    best = max(trials, key=lambda trial: trial.val_auc or 0.0)
    assert [(r.lr, r.optimizer) for r in scored] == [(best.params.lr, best.params.optimizer)]
    reports = [path.parent.name for path in (tmp_path / "sweep").rglob("report.json")]
    assert reports == [best.folder]
    again, same = sweep(*asked, grid, None)
    assert len(scored) == 1
    assert [trial.params for trial in again] == [trial.params for trial in trials]
    assert same.pathologies == found.pathologies
