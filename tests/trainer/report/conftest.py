"""Folders of runs that nobody trained: scores are drawn, so that the truth is known."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from builder.contract import sha256_bytes
from builder.contract.record import to_json
from trainer.report.build_report import build_report
from trainer.report.chart import Chart
from trainer.report.comparison_report import Report, read_report
from trainer.report.results import ArmResult, LastLosses
from trainer.report.run_report import Shown
from trainer.report.tables import Table, tables

Facts = dict[str, Any]  # the JSON of a report, which a test may change

NAMES = ("No Finding", "Lung Lesion", "Pleural Other", "Fracture")
TARGETS = NAMES[1:]
SHARES = (0.3, 0.12, 0.1, 0.004)  # so few fractures that there is no figure
ARMS = ("none", "flip", "gan", "oversample", "pretrain")
#       what a positive's score gains, per pathology
GAINS = {
    "none": (1.5, 0.5, 0.4, 1.0),
    "flip": (1.5, 0.5, 0.5, 1.0),
    "gan": (1.5, 1.5, 0.5, 1.0),
    "oversample": (1.5, 0.5, 0.5, 1.0),
    "pretrain": (1.5, 1.4, -0.6, 1.0),
}
SEEDS = (0, 1, 2)
IMAGES = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Test images of a dataset: the same for every run."""

    labels: np.ndarray
    patient: np.ndarray
    groups: dict[str, np.ndarray]


def drawn() -> Drawn:
    rng = np.random.default_rng(3)
    patient = np.array([f"{number // 3:016x}" for number in range(IMAGES)])
    labels = (rng.random((IMAGES, len(NAMES))) < SHARES).astype(np.int8)
    labels[rng.random(labels.shape) < 0.02] = -1
    groups = {
        "view": rng.choice(["ap", "pa", "lateral"], IMAGES),
        "sex": np.repeat(rng.choice(["female", "male"], IMAGES // 3), 3),
        "age": np.repeat(rng.choice(["20-40", "60-80", ""], IMAGES // 3), 3),
    }
    return Drawn(labels=labels, patient=patient, groups=groups)


def predictions(test: Drawn, arm: str, seed: int, noise: float = 1.0) -> bytes:
    shared = np.random.default_rng(11).standard_normal(test.labels.shape)
    own = np.random.default_rng((ARMS.index(arm), seed, 5)).standard_normal(test.labels.shape)
    logits = shared + noise * 0.5 * own + np.array(GAINS[arm]) * (test.labels == 1) - 1.5
    columns: Facts = {
        "key": [f"real-{number:016x}" for number in range(IMAGES)],
        "split": ["test"] * IMAGES,
        "patient": test.patient,
        **test.groups,
    }
    columns |= {f"label:{name}": test.labels[:, i] for i, name in enumerate(NAMES)}
    columns |= {
        f"probability:{name}": expit(logits[:, i]).astype(np.float32)
        for i, name in enumerate(NAMES)
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def score() -> Facts:
    return {
        "positives": 60, "negatives": 800, "unknown": 40, "auc": 0.7, "low": 0.6, "high": 0.8,
        "average_precision": 0.3, "calibration_error": 0.1, "sensitivity": 0.4, "missing": "",
    }  # fmt: skip


def pathology(name: str) -> Facts:
    return {
        "pathology": name, "target": name in TARGETS, "train_real": 90, "train_synthetic": 333,
        "shown": 423.0, "val": score(), "test": score(),
    }  # fmt: skip


def facts(dataset: str, regime: str, arm: str, seed: int, shards: Path) -> Facts:
    synthetic = arm in ("gan", "pretrain")
    return {
        "manifest": {"name": dataset, "digest": sha256_bytes(dataset.encode())},
        "build": {"regime": regime, "targets": list(TARGETS), "share": "0.15", "seed": 0},
        "plan": {
            "share": [3, 20],
            "real": 2050,
            "synthetic": 1000,
            "lower_bound": 998,
            "targets": [
                {"pathology": name, "real_positives": 90, "render": 333, "positives": 458,
                 "share": 0.1502}
                for name in TARGETS
            ],
        },
        "image": {"height": 32, "width": 32, "codec": "jpg", "quality": 95},
        "controls": "c" * 64,
        "real": None,
        "generator": {"name": "phantom", "sha256": "0" * 64},
        "source": {"dataset": "demo", "labels_sha256": "1" * 64},
        "images": {"train real": 2050, "train synthetic": 1000, "val real": 300,
                   "test real": IMAGES},
        "arm": arm,
        "steps": 240,
        "shown": {"real": 2050.0 if synthetic else 3050.0, "synthetic": 1000.0 * synthetic},
        "unread": 0,
        "epochs": 3,
        "best_epoch": 3,
        "best_val_auc_mean": 0.7,
        "best_val_loss": 0.4,
        "pathologies": [pathology(name) for name in NAMES],
        "software": {"python": "3.11.9", "torch": "2.14.1", "cxr-rebalance": "0.1.0"},
        "notes": [],
        "command": f"xtrain --shards={shards} --arm={arm} --seed={seed}",
        "config": {
            "manifest": dataset, "manifest_sha256": sha256_bytes(dataset.encode()),
            "shards": str(shards), "shards_root": None, "out": f"runs/{arm}-seed{seed}",
            "epochs": 3, "batch": 32, "lr": 0.001, "optimizer": "adam", "arm": arm,
            "augment": "flip" if arm == "flip" else "none", "mix": "real=1,synthetic=1",
            "steps": "equal", "init": "random", "seed": seed, "precision": "fp32",
            "accumulate": 1, "compile": False, "sync_batchnorm": False, "network": "densenet121",
            "synthetic_weight": 1.0, "schedule": "constant",
            "init_sha256": None, "device": "cpu", "ranks": 1,
            "workers": 2, "skip_bad": False, "card": "", "torch": "2.14.1", "cudnn": "",
        },
    }  # fmt: skip


HISTORY = "epoch,train_loss,val_loss,val_auc_mean,val_auc:Lung Lesion\n" + "".join(
    f"{epoch},{0.5 / epoch},{0.45 + 0.02 * epoch},{0.6 + epoch / 20},\n" for epoch in (1, 2, 3)
)


@pytest.fixture(scope="session")
def run_writer() -> Callable[..., Path]:
    """Writes a complete run: (root, arm, seed, dataset=, regime=, shards=) → its folder."""
    test = drawn()

    def write(
        root: Path,
        arm: str,
        seed: int,
        dataset: str = "gan1",
        regime: str = "1",
        shards: Path = Path("manifests/gan1.json"),
    ) -> Path:
        folder = root / dataset / f"{arm}-seed{seed}"
        folder.mkdir(parents=True)
        found = facts(dataset, regime, arm, seed, shards)
        (folder / "report.json").write_text(json.dumps(found))
        (folder / "history.csv").write_text(HISTORY)
        (folder / "predictions.parquet").write_bytes(predictions(test, arm, seed))
        (folder / "best.safetensors").write_bytes(b"weights")
        return folder

    return write


@pytest.fixture(scope="session")
def run_folders(run_writer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All arms with three seeds at regime 1, and `gan` alone at regime 10: to read only."""
    root = tmp_path_factory.mktemp("runs")
    for arm in ARMS:
        for seed in SEEDS:
            run_writer(root, arm, seed)
    for seed in SEEDS:
        run_writer(root, "gan", seed, dataset="gan10", regime="10")
    return root


@pytest.fixture(scope="session")
def report(run_folders: Path) -> Report:
    """The report of all those runs."""
    return build_report([run_folders], min_positives=10, command="xtrain report runs")


@pytest.fixture(scope="session")
def report_json(report: Report) -> Facts:
    """Its JSON, to read only."""
    return cast("Facts", json.loads(to_json(report)))


@pytest.fixture
def facts_of_report(report_json: Facts) -> Facts:
    """Its JSON, to be changed by a test."""
    return deepcopy(report_json)


@pytest.fixture(scope="session")
def as_report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Facts], Report]:
    """The function that makes a report of changed JSON."""
    path = tmp_path_factory.mktemp("changed") / "report.json"

    def read(facts: Facts) -> Report:
        path.write_text(json.dumps(facts))
        return read_report(path)

    return read


@pytest.fixture(scope="session")
def tables_of(as_report: Callable[[Facts], Report]) -> Callable[[Facts], dict[str, Table]]:
    """The function that makes the tables of changed JSON, by their keys."""
    return lambda facts: {table.key: table for table in tables(as_report(facts))}


@dataclass(frozen=True, slots=True)
class Editor:
    """Changes of a run's files, past every check."""

    folder: Path

    def set(self, field: str, value: object) -> None:
        """Write another value at a field of report.json such as `plan.share`."""
        with self._changed(field) as (place, name):
            place[name] = value

    def remove(self, field: str) -> None:
        """Remove a field of report.json."""
        with self._changed(field) as (place, name):
            del place[name]

    def predict(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Write other predictions."""
        path = self.folder / "predictions.parquet"
        change(pd.read_parquet(path)).to_parquet(path)

    @contextmanager
    def _changed(self, field: str) -> Iterator[tuple[Any, Any]]:
        path = self.folder / "report.json"
        place = facts = json.loads(path.read_text())
        *above, last = field.split(".")
        for name in above:
            place = place[int(name) if name.isdigit() else name]
        yield place, last
        path.write_text(json.dumps(facts))


@pytest.fixture(scope="session")
def edit() -> Callable[[Path], Editor]:
    """The function that makes the editor of a run's folder."""
    return Editor


@pytest.fixture
def run(run_writer: Callable[..., Path], tmp_path: Path) -> Path:
    """The folder of a run that a test may change."""
    return run_writer(tmp_path / "runs", "gan", 0)


@pytest.fixture(scope="session")
def untrained() -> Callable[[str], ArmResult]:
    """The function that makes an arm of a title that nobody trained, without figures."""

    def arm_called(title: str) -> ArmResult:
        name, *modifiers = title.split(", ")
        return ArmResult(
            name=name,  # type: ignore[arg-type]
            title=title,
            lent_by=None,
            modifiers=("flip", *modifiers) if name == "flip" else tuple(modifiers),
            recipe={},
            steps=1,
            shown=Shown(real=1.0, synthetic=0.0),
            epochs=1,
            last=LastLosses(train_loss=0.5, val_loss=0.6, gap=0.1),
            runs=(),
            pathologies={},
        )

    return arm_called


@pytest.fixture
def words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with empty figures, which take most of a page's time and have tests of their own."""
    empty = Chart(title="A figure", svg="<svg></svg>")
    monkeypatch.setattr("trainer.report.figures.make_chart", lambda *_: empty)
