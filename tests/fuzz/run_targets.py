"""Folders of runs, comparisons of them, weights and checkpoints of classifiers."""

import io
import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from borrowed import conftest
from bounds import Target
from layers import CHECKPOINT, PARQUET, TENSORS, inner_json
from torch import nn

from builder.contract import ImageSpec
from builder.contract.checkpoint import load_checkpoint
from builder.contract.record import to_json
from builder.contract.weights import WeightsHeader, load_tensors, read_header, weights_bytes
from trainer.fit.checkpoint import (
    Identity,
    Partial,
    RunState,
    check_state,
    checkpoint_bytes,
    read_notes,
    restore,
)
from trainer.fit.history import Epoch, Receipt, Timing
from trainer.recipe import Recipe, read_config
from trainer.report.comparison_report import read_report
from trainer.report.load import load_run
from trainer.stream.order import Cursor

ROWS = 12  # of the images that a run saw
LABELS = ("Lung Lesion", "Fracture")
FILES = ("report.json", "history.csv", "predictions.parquet")


# --- the folder of a run -------------------------------------------------------------------------


@cache
def run_files() -> dict[str, bytes]:
    """A complete run, by the names of its files."""
    made = conftest("trainer/report")
    report = made.facts("gan1", "1", "gan", 0, Path("manifests/gan1.json"))
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "key": [f"real-{number:016x}" for number in range(ROWS)],
        "split": ["test"] * ROWS,
        "patient": [f"{number // 2:016x}" for number in range(ROWS)],
        "view": ["pa", "ap", ""] * (ROWS // 3),
    }
    for name in made.NAMES:
        columns[f"label:{name}"] = random.integers(-1, 2, ROWS).astype(np.int8)
        columns[f"probability:{name}"] = random.random(ROWS).astype(np.float32)
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    contents = (json.dumps(report).encode(), made.HISTORY.encode(), sink.getvalue())
    return dict(zip(FILES, contents, strict=True))


def run_file(name: str, data: bytes, folder: Path) -> None:
    """A run of which one file is the stranger's."""
    for other, content in (run_files() | {name: data}).items():
        (folder / other).write_bytes(content)
    load_run(folder)


def run_target(name: str, *layers: Any) -> Target:
    return Target(examples=lambda: [run_files()[name]], call=partial(run_file, name), layers=layers)


def configs() -> Sequence[bytes]:
    return [json.dumps(json.loads(run_files()["report.json"])["config"]).encode()]


def config(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    read_config(folder)


@cache
def comparisons() -> Sequence[bytes]:
    from tempfile import TemporaryDirectory

    from trainer.report.build_report import build_report

    with TemporaryDirectory() as root:
        for name, content in run_files().items():
            (Path(root) / name).write_bytes(content)
        report = build_report([Path(root)], min_positives=1, command="xtrain report runs")
    return [to_json(report).encode()]


def comparison(data: bytes, folder: Path) -> None:
    path = folder / "report.json"
    path.write_bytes(data)
    read_report(path)


# --- tensors -------------------------------------------------------------------------------------


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, len(LABELS)))
    return model, torch.optim.Adam(model.parameters())


def identity() -> Identity:
    recipe = Recipe(arm="gan", **conftest("trainer").TRAINING)
    return Identity(manifest="0" * 64, recipe=recipe, order="1" * 64)


@cache
def checkpoints() -> Sequence[bytes]:
    model, optimizer = network()
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    row = Epoch(epoch=1, train_loss=0.5, val_loss=0.6, val_auc_mean=0.7, val_auc=(0.7, None))
    state = RunState(
        cursor=Cursor(order="1" * 64, epoch=2, position=16),
        partial=Partial.nothing(ROWS, torch.device("cpu")),
        history=[row],
        timings=[Timing(epoch=1, seconds=1.0, images_per_second=9.0, data_wait=0.1)],
        receipts=[Receipt(epoch=1, images=ROWS, rows=ROWS, unread=1, order="2" * 64)],
        unread={3: "it is cut"},
    )
    return [checkpoint_bytes(state, identity(), model, optimizer)]


def checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "last.pt"
    path.write_bytes(data)
    read_notes(path)
    model, optimizer = network()
    fabric: Any = SimpleNamespace(is_global_zero=True, device=torch.device("cpu"))
    state = restore(path, identity(), model, optimizer, fabric)
    check_state(state, ROWS, len(LABELS), path)


@cache
def initial_weights() -> Sequence[bytes]:
    found = []
    for new in (True, False):
        sink = io.BytesIO()
        torch.save(network()[0].state_dict(), sink, _use_new_zipfile_serialization=new)
        found.append(sink.getvalue())
    return found


def initial(data: bytes, folder: Path) -> None:
    path = folder / "weights.pth"
    path.write_bytes(data)
    load_checkpoint(path)


class _Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, len(LABELS))


@cache
def classifiers() -> Sequence[bytes]:
    image = ImageSpec(height=64, width=64, codec="png", quality=0)
    header = WeightsHeader(pathologies=LABELS, image=image, manifest="0" * 64, epoch=3)
    return [weights_bytes(_Classifier(), header, {"arm": "gan"})]


def classifier(data: bytes, folder: Path) -> None:
    path = folder / "best.safetensors"
    path.write_bytes(data)
    read_header(path)
    load_tensors(path)


TARGETS = {
    "report": run_target("report.json"),
    "history": run_target("history.csv"),
    "predictions": run_target("predictions.parquet", PARQUET),
    "config": Target(examples=configs, call=config),
    "comparison": Target(examples=comparisons, call=comparison),
    "checkpoint": Target(examples=checkpoints, call=checkpoint, layers=(CHECKPOINT,)),
    "init": Target(examples=initial_weights, call=initial, layers=(CHECKPOINT,)),
    "classifier": Target(
        examples=classifiers, call=classifier, layers=(TENSORS, inner_json("xtrain"))
    ),
}
