import csv
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract import CheckError, UsageError, sha256_file
from trainer.report.load import file_digests, load_run

Edit = Callable[[Path], Any]


def test_a_run_is_what_its_folder_holds(run: Path) -> None:
    found = load_run(run)
    assert (found.folder, found.seed, found.report.arm) == (run, 0, "gan")
    with (run / "history.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert found.losses == tuple((float(row["train_loss"]), float(row["val_loss"])) for row in rows)
    assert found.test.labels.shape == found.test.probabilities.shape == (900, 4)
    assert [*found.test.groups] == ["view", "sex", "age"]
    assert found.modifiers == ()
    assert "seed" not in found.recipe
    assert (found.recipe["lr"], found.recipe["init_sha256"]) == (0.001, None)


def test_digests_are_those_of_the_files(run: Path) -> None:
    names = ["predictions.parquet", "best.safetensors"]
    found = load_run(run)
    assert file_digests(found) == {name: sha256_file(run / name) for name in names}
    (run / "best.safetensors").unlink()
    assert [*file_digests(found)] == names[:1]


@pytest.mark.parametrize("name", ["report.json", "history.csv", "predictions.parquet"])
def test_a_run_that_is_not_complete_says_so(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(UsageError, match=f"holds no complete run of xtrain: it has no {name}"):
        load_run(run)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("report.json", "is not valid JSON"),
        ("predictions.parquet", "is cut, damaged or not readable"),
    ],
)
def test_a_run_that_is_damaged_says_so(run: Path, name: str, said: str) -> None:
    (run / name).write_bytes((run / name).read_bytes()[:-40])
    with pytest.raises(CheckError, match=rf"{run / name} {said}"):
        load_run(run)


@pytest.mark.parametrize(
    ("epochs", "history", "asked"),
    [(2, 2, 3), (3, 2, 3), (2, 3, 3), (3, 3, 6)],
    ids=["evaluated after an interruption", "history cut", "report not renewed", "being extended"],
)
def test_a_run_that_is_not_finished_is_refused(
    run: Path, edit: Edit, epochs: int, history: int, asked: int
) -> None:
    for field, value in {"epochs": epochs, "best_epoch": 2, "config.epochs": asked}.items():
        edit(run).set(field, value)
    rows = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join(rows[: 1 + history]))
    said = f"is not finished: its history has {history} of {asked} epochs and its report {epochs}"
    with pytest.raises(UsageError, match=rf"{said}\. Resume it with xtrain fit --resume"):
        load_run(run)


@pytest.mark.parametrize("loss", ["", "nan", "inf", "high", "\x1b[2J"])
def test_a_history_without_a_loss_is_damaged(run: Path, loss: str) -> None:
    text = (run / "history.csv").read_text()
    (run / "history.csv").write_text(text.replace("0.25,", f"{loss},"))
    shown = loss.replace("\x1b", "\ufffd").replace("[", r"\[")
    said = rf"history\.csv is damaged: the train_loss of epoch 2 is '{shown}', no finite number"
    with pytest.raises(CheckError, match=said):
        load_run(run)


def test_epochs_are_numbered_in_order(run: Path) -> None:
    text = (run / "history.csv").read_text()
    (run / "history.csv").write_text(text.replace("\n2,", "\n7,"))
    with pytest.raises(CheckError, match=r"history\.csv is damaged: row 2 is of epoch '7'"):
        load_run(run)


def test_a_run_without_test_images_is_refused(run: Path, edit: Edit) -> None:
    edit(run).predict(lambda table: table.assign(split="val"))
    with pytest.raises(UsageError, match="has no predictions of test images, so there is nothing"):
        load_run(run)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"sex": "<script>"}, "'<script>' is no sex that it may have"),
        ({"age": None}, "its column age has null, not text"),
        ({"patient": 7}, "its column patient has int64, not text"),
        ({"key": None}, "its column key has null, not text"),
        ({"label:Fracture": 2}, "a label of Fracture is 2"),
        ({"label:Fracture": 0.5}, "its column label:Fracture has double"),
        ({"probability:Fracture": 1.5}, "a probability of Fracture is 1.5"),
        ({"probability:Fracture": np.nan}, "no value in some row of probability:Fracture"),
        ({"probability:Fracture": "high"}, "not numbers"),
        ({"label:<b>": 1, "probability:<b>": 0.5}, "pathology name '<b>' cannot be used"),
        ({"label:Hernia": 1}, "0 columns called probability:Hernia"),
    ],
    ids=str,
)
def test_strange_predictions_are_refused_with_what_was_found(
    run: Path, edit: Edit, columns: dict[str, object], said: str
) -> None:
    edit(run).predict(lambda table: table.assign(**columns))
    with pytest.raises(CheckError) as refused:
        load_run(run)
    assert f"{run / 'predictions.parquet'} is refused: " in str(refused.value)
    assert said in str(refused.value)


def test_a_probability_that_is_no_number_is_refused(run: Path) -> None:
    table, name = pq.read_table(run / "predictions.parquet"), "probability:Fracture"
    column = pa.array(np.full(len(table), np.nan, np.float32))  # pandas would leave gaps
    table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, run / "predictions.parquet")
    with pytest.raises(CheckError, match="a probability of Fracture is nan"):
        load_run(run)


@pytest.mark.parametrize("column", ["key", "split", "patient", "probability:Fracture"])
def test_a_missing_column_is_named(run: Path, edit: Edit, column: str) -> None:
    edit(run).predict(lambda table: table.drop(columns=[column]))
    with pytest.raises(CheckError, match=f"0 columns called {column}"):
        load_run(run)


def test_predictions_of_no_pathology_are_refused(run: Path, edit: Edit) -> None:
    edit(run).predict(lambda table: table[["key", "split", "patient"]])
    with pytest.raises(CheckError, match="it has the labels of no pathology"):
        load_run(run)


def test_predictions_of_other_pathologies_do_not_fit(run: Path, edit: Edit) -> None:
    edit(run).set("pathologies.0.pathology", "Hernia")
    with pytest.raises(CheckError, match="only one of them has the pathology 'Hernia'"):
        load_run(run)


def test_predictions_of_some_kb_that_stand_for_gigabytes_are_refused(
    run: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    path = run / "predictions.parquet"
    table = pq.read_table(path)
    numbers = pa.array(np.zeros(len(table), np.int32))
    words = pa.DictionaryArray.from_arrays(numbers, pa.array(["x" * (4 << 20)]))
    table = table.set_column(table.column_names.index("patient"), "patient", words)
    pq.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 98_000
    with bearable(), pytest.raises(CheckError, match="page of its column patient has"):
        load_run(run)


def test_a_history_of_a_million_epochs_is_refused(
    run: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    lines = ["epoch,train_loss,val_loss\n", *(f"{i},0,0\n" for i in range(1, 999_999))]
    (run / "history.csv").write_text("".join(lines))
    with bearable(), pytest.raises(CheckError, match="larger than the 4,194,304 bytes"):
        load_run(run)
