"""The folder of a run → RunResult: its report, its history and its predictions on test images.

A run's files may be a stranger's: every value that is read is checked, here and in `run_report`.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from builder.contract import (
    GROUPS,
    CheckError,
    Labels,
    Refusal,
    UsageError,
    check_pathologies,
    printable,
    sha256_file,
)
from builder.contract.networks import DENSENET
from builder.contract.parquet import read_parquet
from builder.contract.record import as_record, read_bytes
from trainer.evaluate.external_scores import FOLDER as EXTERNAL
from trainer.evaluate.external_scores import ExternalScores
from trainer.fit.run_folder import RunFolder
from trainer.report.results import Setting
from trainer.report.run_report import RunReport, load_report, read_facts

Probabilities = npt.NDArray[np.float32]
Texts = npt.NDArray[np.object_]

TEXTS = ("split", "key", "patient")
MAX_CELL = 100  # bytes of a text in a table
MAX_HISTORY = 4 << 20  # bytes; some ten thousand epochs
USUAL_MIX = "real=1,synthetic=1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """A run's probabilities on the test images, in sealed order."""

    names: tuple[str, ...]  # pathologies [L]
    key: Texts  # [N]
    patient: Texts  # [N]
    groups: Mapping[str, Texts]  # view, sex, age, where the dataset has them
    labels: Labels  # [N, L] in {1, 0, -1 = unknown}
    probabilities: Probabilities  # [N, L]

    def only(self, names: Sequence[str]) -> "Predictions":
        """Those of some pathologies, without subgroups."""
        at = np.array([self.names.index(name) for name in names], int)
        return replace(
            self,
            names=tuple(names),
            groups={},
            labels=self.labels[:, at],
            probabilities=self.probabilities[:, at],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The same on the test images of another dataset; unknown labels where it has none."""

    scores: ExternalScores
    test: Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A complete run, as its folder holds it."""

    folder: Path
    report: RunReport
    losses: tuple[tuple[float, float], ...]  # train and validation, per epoch
    test: Predictions
    elsewhere: tuple[Elsewhere, ...] = ()  # by the name of the dataset

    @property
    def seed(self) -> int:
        """The seed of the weights, the order and the augmentation."""
        return self.report.config.recipe.seed

    @property
    def modifiers(self) -> tuple[str, ...]:
        """What is not usual about how its arm was trained, such as `flip`."""
        recipe = self.report.config.recipe
        return (
            *((recipe.augment,) if recipe.augment != "none" else ()),
            *((recipe.mix.replace(",", " "),) if recipe.mix != USUAL_MIX else ()),
            *((f"{recipe.steps} steps",) if recipe.steps != "equal" else ()),
            *((recipe.network,) if recipe.network != DENSENET else ()),
            *((recipe.weighting,) if recipe.weighting else ()),
        )

    @property
    def recipe(self) -> dict[str, Setting]:
        """What the seeds of an arm have in common, the dataset apart.

        Initial weights in a file are told by their sha256, wherever the file lies.
        """
        config = self.report.config
        common = {name: value for name, value in asdict(config.recipe).items() if name != "seed"}
        if config.init_sha256 is not None:
            common["init"] = "a file"
        return common | {"init_sha256": config.init_sha256}


def load_run(folder: Path) -> RunResult:
    """The run in a folder, every file checked.

    UsageError where it is not finished, has no test images, or an earlier version wrote it;
    CheckError where a file is damaged or the files do not fit each other.
    """
    files = RunFolder(folder)
    for path in (files.report, files.history, files.predictions):
        if not path.is_file():
            raise UsageError(
                f"{folder} holds no complete run of xtrain: it has no {path.name}. Resume it with"
                " xtrain fit --resume."
            )
    report = load_report(folder)
    losses = tuple(_losses(files.history))
    asked, told = report.config.recipe.epochs, report.epochs
    if not len(losses) == told == asked:
        raise UsageError(
            f"{folder} is not finished: its history has {len(losses)} of {asked} epochs and its"
            f" report {told}. Resume it with xtrain fit --resume, then report again."
        )
    test = _predictions(files.predictions)
    if not len(test.key):
        raise UsageError(
            f"{folder} has no predictions of test images, so there is nothing to compare: leave it"
            " out."
        )
    names = {row.pathology for row in report.pathologies}
    if other := sorted(names ^ {*test.names}):
        raise CheckError(
            f"{files.predictions} does not fit report.json: only one of them has the pathology"
            f" {printable(other[0])!r}. Run xtrain evaluate {folder} again."
        )
    elsewhere = tuple(_elsewhere(folder, report))
    return RunResult(folder=folder, report=report, losses=losses, test=test, elsewhere=elsewhere)


def file_digests(run: RunResult) -> dict[str, str]:
    """The sha256 of the run's predictions and, where they exist, of its weights."""
    files = RunFolder(run.folder)
    paths = (files.predictions, files.weights)
    return {path.name: sha256_file(path) for path in paths if path.is_file()}


def _elsewhere(folder: Path, report: RunReport) -> Iterator[Elsewhere]:
    """What the run scored on other datasets with the weights of its best epoch."""
    names = {row.pathology for row in report.pathologies}
    for path in sorted((folder / EXTERNAL).glob("*.json")):
        scores = as_record(read_facts(path), ExternalScores, str(path), exact=False)
        if (scores.manifest, scores.epoch) != (report.manifest.digest, report.best_epoch):
            continue  # of weights that it had before it was continued
        predictions = path.with_suffix(".parquet")
        if not predictions.is_file() or sha256_file(predictions) != scores.predictions:
            raise CheckError(
                f"{predictions} is not what {path.name} says: remove both, then score the run again"
                " with --test."
            )
        test = _predictions(predictions)
        labelled = {ours for ours, _ in scores.test.labels}
        if {*test.names} != names or not labelled <= names or not len(test.key):
            raise CheckError(f"{path} does not fit the run's report.json: score it again.")
        yield Elsewhere(scores=scores, test=test)


def _losses(path: Path) -> Iterator[tuple[float, float]]:
    """Train and validation loss of each epoch in a history.csv."""
    text = read_bytes(path, MAX_HISTORY).decode("utf-8", errors="replace")
    try:
        for number, row in enumerate(csv.DictReader(text.splitlines()), 1):
            if row.get("epoch") != str(number):
                found = printable(str(row.get("epoch")))
                raise CheckError(f"{path} is damaged: row {number} is of epoch {found!r}.")
            yield _loss(row, "train_loss", path), _loss(row, "val_loss", path)
    except csv.Error as error:
        raise CheckError(f"{path} is no table: {printable(str(error))}.") from None


def _loss(row: Mapping[str, str | None], name: str, path: Path) -> float:
    text = row.get(name) or ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CheckError(
            f"{path} is damaged: the {name} of epoch {row['epoch']} is {printable(text)!r}, no"
            " finite number."
        )
    return value


def _predictions(path: Path) -> Predictions:
    table = read_parquet(path, str(path), rows=None, columns=partial(_check_columns, path))
    names = _names(table.column_names)
    groups = [name for name in GROUPS if name in table.column_names]
    test = table.filter(pc.equal(table["split"], "test"))
    columns = {name: test[name].to_numpy() for name in test.column_names}
    found = Predictions(
        names=names,
        key=columns["key"],
        patient=columns["patient"],
        groups={name: columns[name] for name in groups},
        labels=np.stack([columns[f"label:{name}"] for name in names], axis=1),
        probabilities=np.stack([columns[f"probability:{name}"] for name in names], axis=1),
    )
    _check_values(found, path)
    return found


def _names(columns: Sequence[str]) -> tuple[str, ...]:
    """The pathologies of which there are labels."""
    return tuple(name.removeprefix("label:") for name in columns if name.startswith("label:"))


def _check_columns(path: Path, schema: pa.Schema) -> dict[str, int]:
    """The longest text of each column; CheckError where one is missing or of another kind."""
    names, groups = _names(schema.names), [name for name in GROUPS if name in schema.names]
    try:
        check_pathologies(names)
    except Refusal as error:
        raise CheckError(f"{path} is refused: {error}") from None
    if not names:
        raise CheckError(f"{path} is refused: it has the labels of no pathology.")
    kinds = dict.fromkeys((*TEXTS, *groups), ("text", _is_text))
    kinds |= {f"label:{name}": ("whole numbers", pa.types.is_integer) for name in names}
    kinds |= {f"probability:{name}": ("numbers", pa.types.is_floating) for name in names}
    for name, (kind, is_kind) in kinds.items():
        if (times := schema.names.count(name)) != 1:
            raise CheckError(f"{path} is refused: it has {times} columns called {name}.")
        if not is_kind(found := schema.field(name).type):
            raise CheckError(
                f"{path} is refused: its column {name} has {printable(str(found))}, not {kind}."
            )
    return dict.fromkeys((*TEXTS, *groups), MAX_CELL)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_values(test: Predictions, path: Path) -> None:
    """Raise CheckError where a label, a probability or a group has no possible value."""
    for i, name in enumerate(test.names):
        if strange := {*test.labels[:, i].tolist()} - {-1, 0, 1}:
            raise CheckError(f"{path} is refused: a label of {name} is {min(strange)}.")
        outside = ~((test.probabilities[:, i] >= 0) & (test.probabilities[:, i] <= 1))
        if outside.any():
            found = test.probabilities[outside, i][0]
            raise CheckError(f"{path} is refused: a probability of {name} is {found}.")
    for group, texts in test.groups.items():
        if unknown := sorted({*texts} - {*GROUPS[group], ""}):
            raise CheckError(
                f"{path} is refused: {printable(repr(unknown[0]))} is no {group} that it may have."
            )
