"""The folder of a run into what a report reads of it, once all of it has proved good.

A run's files may be a stranger's: every field that is read is checked here, and nowhere else.
"""

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from builder.contract import (
    GROUPS,
    KEY,
    CheckError,
    Labels,
    Refusal,
    UsageError,
    check_pathologies,
    sha256_file,
)
from trainer.arms import ARMS, AUGMENTS, STEPS, parse_mix
from trainer.report.single_run import Facts

Probabilities = npt.NDArray[np.float32]
Words = npt.NDArray[np.object_]

OF_A_DATASET = ("manifest", "manifest_sha256")
OF_A_SEED = ("seed", "out", "shards", "shards_root", "device", "ranks", "workers", "skip_bad")
FILES = ("report.json", "history.csv", "predictions.parquet")
NEEDED = ("manifest", "build", "plan", "image", "controls", "config", "command", "software")
NUMBER = (int, float)
TARGET = {"pathology": str, "render": int, "share": NUMBER}
SHAPE = {  # what is read of report.json; a type, an object's fields, or a list of such
    "manifest": {"name": str, "digest": str},
    "build": dict,
    "plan": {
        "share": [int],
        "real": int,
        "synthetic": int,
        "lower_bound": int,
        "targets": [TARGET],
    },
    "image": dict,
    "controls": str,
    "generator": dict,
    "source": dict,
    "images": dict,
    "arm": str,
    "steps": int,
    "shown": {"real": NUMBER, "synthetic": NUMBER},
    "unread": int,
    "epochs": int,
    "best_epoch": int,
    "best_val_auc_mean": (*NUMBER, type(None)),
    "pathologies": [{"pathology": str}],
    "software": dict,
    "command": str,
    "config": {
        **dict.fromkeys(("arm", "augment", "mix", "steps", "shards"), str),
        **dict.fromkeys(("seed", "epochs"), int),
        "shards_root": (str, type(None)),
        "skip_bad": bool,
    },
}
SHA256 = re.compile(r"[0-9a-f]{64}")
REGIME = re.compile(r"(?=.*[1-9])[0-9]{1,3}(\.[0-9]{1,9})?")  # per cent, not 0
# control characters, those that turn the writing around, and halves of letters
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """A run's probabilities on the test images, in sealed order."""

    names: tuple[str, ...]  # [L]
    key: Words  # [N]
    patient: Words  # [N]
    groups: dict[str, Words]  # view, sex, age, where the dataset has them
    labels: Labels  # [N, L]
    probabilities: Probabilities  # [N, L]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A complete run, as its folder holds it."""

    folder: Path
    facts: Facts  # report.json
    history: tuple[dict[str, float | None], ...]  # rows of history.csv
    test: Predictions

    @property
    def seed(self) -> int:
        """The seed of weights, order and flips."""
        return int(self.facts["config"]["seed"])

    @property
    def modifiers(self) -> tuple[str, ...]:
        """What is not usual about how its arm was trained."""
        config = self.facts["config"]
        flip = ("flip",) if config["augment"] == "flip" else ()
        mix = config["mix"].replace(",", " ")
        return (
            *flip,
            *((mix,) if mix != "real=1 synthetic=1" else ()),
            *((f"{config['steps']} steps",) if config["steps"] != "equal" else ()),
        )

    @property
    def recipe(self) -> Facts:
        """What the seeds of an arm have in common, beside the dataset."""
        return {
            k: v for k, v in self.facts["config"].items() if k not in (*OF_A_SEED, *OF_A_DATASET)
        }


def load_run(folder: Path) -> Run:
    """The run in a folder, whose report.json may be a stranger's.

    UsageError where the run is not finished or has no test images, CheckError where it is damaged.
    """
    path = folder / "report.json"
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise UsageError(
            f"{folder} holds no complete run of xtrain, for it has no {missing[0]}: go on with"
            " xtrain fit --resume."
        )
    try:
        facts = json.loads(path.read_bytes(), parse_constant=_finite, parse_float=_finite)
        if missing := [name for name in NEEDED if name not in facts]:
            raise UsageError(
                f"{path} was written by an earlier version, it has no {missing[0]}: run xtrain"
                f" evaluate {folder} first."
            )
        _check(facts)
        history = tuple(_history(folder / "history.csv"))
        asked, told = facts["config"]["epochs"], facts["epochs"]
        if not len(history) == told == asked:
            raise UsageError(
                f"{folder} is not finished, its history has {len(history)} of {asked} epochs and"
                f" its report {told}: go on with xtrain fit --resume, then report again."
            )
        test = _predictions(folder / "predictions.parquet")
        if not len(test.key):
            raise UsageError(
                f"{folder} has no predictions of test images, so there is nothing to compare: leave"
                " it out."
            )
        names = [row["pathology"] for row in facts["pathologies"]]
        targets = [target["pathology"] for target in facts["plan"]["targets"]]
        if sorted(names) != sorted(test.names) or not {*targets} <= {*names}:
            raise ValueError
        return Run(folder=folder, facts=facts, history=history, test=test)
    except (ValueError, KeyError, TypeError, RecursionError, OSError, csv.Error, pa.ArrowException):
        raise CheckError(
            f"The files of the run in {folder} are cut or do not fit each other: run xtrain"
            " evaluate on it again."
        ) from None


def _finite(word: str) -> float:
    if not math.isfinite(number := float(word)):
        raise ValueError
    return number


def _check(facts: Facts) -> None:
    """ValueError unless report.json has what is read of it, in words and numbers of its kind."""
    if not _fits(facts, SHAPE) or any(UNSEEN.search(words) for words in _strings(facts)):
        raise ValueError
    config, plan, regime = facts["config"], facts["plan"], facts["build"].get("regime")
    parts, whole = plan["share"]
    targets = [target["pathology"] for target in plan["targets"]]
    try:
        parse_mix(config["mix"])
    except Refusal:
        raise ValueError from None
    if not (
        KEY.fullmatch(facts["manifest"]["name"])
        and SHA256.fullmatch(facts["manifest"]["digest"])
        and (regime is None or (isinstance(regime, str) and REGIME.fullmatch(regime)))
        and 0 < parts < whole
        and len({*targets}) == len(targets)
        and facts["arm"] == config["arm"]
        and facts["arm"] in ARMS
        and config["augment"] in AUGMENTS
        and config["steps"] in STEPS
        and 1 <= facts["best_epoch"] <= facts["epochs"]
    ):
        raise ValueError


def _fits(found: Any, shape: Any) -> bool:
    """Whether a value of JSON has a shape as in SHAPE; a bool is no number."""
    if isinstance(shape, dict):
        return isinstance(found, dict) and all(
            name in found and _fits(found[name], part) for name, part in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(found, list) and all(_fits(part, shape[0]) for part in found)
    return isinstance(found, shape) and (shape is bool or not isinstance(found, bool))


def _strings(found: Any) -> Iterator[str]:
    """Every word in a value of JSON, the names of fields among them."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        yield from found
        found = [*found.values()]
    for part in found if isinstance(found, list) else ():
        yield from _strings(part)


def _history(path: Path) -> list[dict[str, float | None]]:
    with path.open(newline="") as file:
        rows = [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]
    losses = np.array([[row["train_loss"], row["val_loss"]] for row in rows], float)
    numbered = all(row["epoch"] == number for number, row in enumerate(rows, 1))
    if not numbered or not np.isfinite(losses).all():
        raise ValueError
    return rows


def _predictions(path: Path) -> Predictions:
    table = pq.read_table(path, partitioning=None)
    table = table.filter(pc.equal(table["split"], "test"))
    columns = {name: table[name].to_numpy() for name in table.column_names}
    names = tuple(n.removeprefix("label:") for n in table.column_names if n.startswith("label:"))
    labels = np.stack([columns[f"label:{name}"] for name in names], axis=1)
    probabilities = np.stack([columns[f"probability:{name}"] for name in names], axis=1)
    groups = {name: columns[name] for name in GROUPS if name in columns}
    words = {type(word) for name in ("key", "patient") for word in columns[name]}
    try:
        check_pathologies(names)
    except Refusal:
        raise ValueError from None
    if not (
        ((probabilities >= 0) & (probabilities <= 1)).all()
        and np.isin(labels, (-1, 0, 1)).all()
        and all({*found} <= {*GROUPS[name], ""} for name, found in groups.items())
        and words <= {str}
    ):
        raise ValueError
    return Predictions(
        names=names,
        key=columns["key"],
        patient=columns["patient"],
        groups=groups,
        labels=labels,
        probabilities=probabilities,
    )


def files_of(run: Run) -> dict[str, str]:
    """The sha256 of the run's predictions and of its weights, where they are there."""
    names = ("predictions.parquet", "best.safetensors")
    return {n: sha256_file(run.folder / n) for n in names if (run.folder / n).is_file()}
