"""Folders of runs that nobody trained: scores are drawn, so that the truth is known."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from builder.contract import sha256_bytes

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


@dataclass
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
    columns: dict[str, Any] = {
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


def facts(dataset: str, regime: str, arm: str, seed: int, shards: Path) -> dict[str, Any]:
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
        "pathologies": [{"pathology": name} for name in NAMES],
        "software": {"python": "3.11.9", "torch": "2.14.1", "cxr-rebalance": "0.1.0"},
        "notes": [],
        "command": f"xtrain --shards={shards} --arm={arm} --seed={seed}",
        "config": {
            "manifest": dataset, "manifest_sha256": sha256_bytes(dataset.encode()),
            "shards": str(shards), "shards_root": None, "out": f"runs/{arm}-seed{seed}",
            "epochs": 3, "batch": 32, "lr": 0.001, "optimizer": "adam", "arm": arm,
            "augment": "flip" if arm == "flip" else "none", "mix": "real=1,synthetic=1",
            "steps": "equal", "init": "random", "seed": seed, "precision": "fp32",
            "accumulate": 1, "compile": False, "init_sha256": None, "device": "cpu", "ranks": 1,
            "workers": 2, "skip_bad": False,
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
