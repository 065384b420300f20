"""Experiments on the tiny dataset, and runs that take no time."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract import ImageSpec
from builder.contract.record import to_json
from builder.store import Cache
from trainer.config import Machine, RunPlan, Settings
from trainer.evaluate.external_scores import ExternalScores, scores_path
from trainer.experiment import Experiment, plan
from trainer.recipe import Recipe, RunConfig
from trainer.report import RunReport, load_report
from trainer.report.run_report import ManifestRef, Shown

STRIPPED = {"arm"}  # the fields of a recipe that Settings does not have


@pytest.fixture
def settings(recipe: Recipe, tmp_path: Path) -> Settings:
    """One epoch on the CPU."""
    how = {name: getattr(recipe, name) for name in recipe.__slots__ if name not in STRIPPED}
    machine = Machine(
        device="cpu",
        workers=1,
        ram_bytes=0,
        cache=Cache(folder=tmp_path / "cache", max_bytes=10**9),
        save_every=3600,
        track=(),
    )
    usual = Settings(**how, skip_bad=False, min_positives=10, machine=machine)
    return replace(usual, epochs=1, batch=16, augment="none")


@pytest.fixture
def planned(sealed: Any, settings: Settings, tmp_path: Path) -> Callable[..., Experiment]:
    """The function that plans two seeds of none and gan in tmp_path: (changes of the arguments).

    Changes of a setting have the setting's name; `data` is another sealed dataset.
    """

    def make(**changes: Any) -> Experiment:
        asked = {
            name: changes.pop(name) for name in [*changes] if name in Settings.__dataclass_fields__
        }
        data = changes.pop("data", sealed)
        usual: dict[str, Any] = {
            "paths": [str(data.path)],
            "settings": replace(settings, **asked),
            "shards_root": None,
            "arms": ("none", "gan"),
            "seeds": 2,
            "grid": False,
            "out": tmp_path,
        }
        return plan(**usual | changes)

    return make


def run_config(run: RunPlan, digest: str) -> RunConfig:
    return RunConfig(
        manifest="tiny",
        manifest_sha256=digest,
        shards=run.shards,
        shards_root=run.shards_root,
        out=str(run.out),
        **asdict(run.recipe),
        init_sha256=None,
        device="cpu",
        ranks=1,
        workers=1,
        skip_bad=False,
    )


def write_config(run: RunPlan, digest: str) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    (run.out / "config.json").write_text(to_json(run_config(run, digest)))


def write_all(run: RunPlan, digest: str) -> None:
    write_config(run, digest)
    report = RunReport(
        manifest=ManifestRef(name="tiny", digest=digest),
        build={},
        plan=None,
        image=ImageSpec(height=32, width=32, codec="png", quality=0),
        generator=None,
        source={},
        controls="c" * 64,
        images={},
        arm=run.recipe.arm,
        steps=8,
        shown=Shown(real=129.0, synthetic=0.0),
        unread=0,
        epochs=run.recipe.epochs,
        best_epoch=1,
        best_val_auc_mean=None,
        best_val_loss=0.7,
        pathologies=(),
        software={},
        notes=(),
        command="xtrain",
        config=run_config(run, digest),
    )
    (run.out / "report.json").write_text(to_json(report))


@pytest.fixture
def begin() -> Callable[[RunPlan, str], None]:
    """The function that leaves what the first save of train() leaves: (plan, manifest's digest)."""
    return write_config


@pytest.fixture
def finish() -> Callable[[RunPlan, str], None]:
    """The function that leaves what train() leaves: (plan, manifest's digest)."""
    return write_all


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were trained, by a training that takes no time."""
    done: list[str] = []

    def train(run: RunPlan, found: Any) -> None:
        done.append(run.out.name)
        write_all(run, found.manifest.digest)

    monkeypatch.setattr(sys.modules["trainer.experiment.work"], "train", train)
    return done


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were scored on other datasets, by a scoring that takes no time."""
    done: list[str] = []

    def score(run: RunPlan) -> None:
        done.append(run.out.name)
        for test in run.tests:
            path = scores_path(run.out, test)
            path.parent.mkdir(exist_ok=True)
            digest = load_report(run.out).manifest.digest
            facts = ExternalScores(
                test=test, source={}, manifest=digest, epoch=1, images=1, unread=0, scores=(),
                predictions="0" * 64,
            )  # fmt: skip
            path.write_text(to_json(facts))

    monkeypatch.setattr(sys.modules["trainer.experiment.work"], "score_elsewhere", score)
    return done


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The function that makes every process of run_processes run that code instead."""

    def use(code: str) -> None:
        def start(log: Path, **_: Any) -> "subprocess.Popen[bytes]":
            with log.open("ab") as file:
                return subprocess.Popen(
                    [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=file, stderr=file
                )

        monkeypatch.setattr("trainer.experiment.processes._start", start)

    return use
