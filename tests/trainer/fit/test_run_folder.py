import csv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from builder.contract import UsageError, write_last
from builder.contract.weights import read_header
from trainer.fit.history import Epoch, best_epoch
from trainer.fit.loop import TrainingRun
from trainer.fit.run_folder import RunFolder
from trainer.recipe import Recipe, RunConfig, read_config
from trainer.stream.batches import Dataset, open_dataset

Run = Callable[..., list[Epoch]]
Same = Callable[[Path, Path], bool]


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_files_of_an_epoch(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    config_of: Callable[[Recipe], RunConfig],
) -> None:
    history, folder = run(tmp_path, recipe), RunFolder(tmp_path)
    assert read_config(tmp_path) == config_of(recipe)
    rows = rows_of(folder.history)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["val_auc:Hernia"] == ""
    assert float(rows[2]["val_auc:Fracture"]) == pytest.approx(history[2].val_auc[2], abs=1e-6)
    known = [value for value in history[1].val_auc if value is not None]
    assert history[1].val_auc_mean == pytest.approx(sum(known) / 2)
    timing = rows_of(folder.timing)
    assert set(timing[0]) == {"epoch", "seconds", "images_per_second", "data_wait"}
    assert all(0 <= float(row["data_wait"]) <= 1 for row in timing)
    receipts = rows_of(folder.receipts)
    shown = {(row["images"], row["rows"], row["unread"]) for row in receipts}
    assert shown == {("129", "129", "0")}
    assert len({row["order"] for row in receipts}) == 3
    assert not folder.unread.exists()
    assert folder.load_notes().history == history


def test_the_weights_say_what_they_are(
    data: Dataset, tmp_path: Path, recipe: Recipe, run: Run
) -> None:
    history, path = run(tmp_path, recipe), RunFolder(tmp_path).weights
    header = read_header(path)
    assert header.pathologies == data.manifest.pathologies
    assert header.manifest == data.manifest.digest
    assert asdict(header.image) == {"height": 32, "width": 32, "codec": "jpg", "quality": 95}
    assert header.epoch == best_epoch(history).epoch
    with safe_open(path, framework="pt") as file:
        assert '"lr": 0.001' in file.metadata()["xtrain"]


def test_unread_images_are_counted_and_listed(
    sealed: Any, tmp_path: Path, recipe: Recipe, run: Run
) -> None:
    row = int(np.flatnonzero(sealed.index.split == "train")[3])
    sealed.spoil_image(row)
    folder = RunFolder(tmp_path)
    with open_dataset(sealed.located(), workers=2, skip_bad=True) as data:
        run(tmp_path, recipe, on=data)
    assert [receipt["unread"] for receipt in rows_of(folder.receipts)] == ["1", "1", "1"]
    assert [unread["key"] for unread in rows_of(folder.unread)] == [sealed.index.key[row]]


def test_killed_while_writing_anything_the_run_can_be_resumed(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    same: Same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unbroken = run(tmp_path / "whole", recipe)
    out, left = tmp_path / "out", [0]

    def killed(path: Path, content: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        write_last(path, content)

    for writer in ("loop", "run_folder"):
        monkeypatch.setattr(f"trainer.fit.{writer}.write_last", killed)
    for left[0] in range(2, 16):
        with suppress(KeyboardInterrupt):
            run(out, recipe, resume=True)
    left[0] = -1
    assert run(out, recipe, resume=True) == unbroken
    assert same(out, tmp_path / "whole")


def test_the_best_weights_are_those_of_the_history_wherever_it_was_killed(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    same: Same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the epoch that is taken again would come out otherwise, as on a GPU."""

    def killed(_: TrainingRun) -> None:
        raise KeyboardInterrupt

    run(tmp_path / "whole", replace(recipe, epochs=1))
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "_keep_best", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out", replace(recipe, epochs=1))
    assert not (tmp_path / "out/best.safetensors").exists()
    run(tmp_path / "out", replace(recipe, epochs=1), resume=True)
    assert same(tmp_path / "out", tmp_path / "whole")


def test_notes_need_a_finished_epoch(
    tmp_path: Path, recipe: Recipe, run: Run, stopping: Any
) -> None:
    with pytest.raises(UsageError, match="is missing: name the folder of a run"):
        RunFolder(tmp_path).load_notes()
    with stopping(2), pytest.raises(Exception, match="images of epoch 1"):
        run(tmp_path, recipe)
    with pytest.raises(UsageError, match="no finished epoch yet"):
        RunFolder(tmp_path).load_notes()
