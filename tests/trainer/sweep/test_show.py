import csv
import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from PIL import Image

from trainer.sweep import Trial, markdown, picture, save, winner


def test_tables_hold_every_point(tmp_path: Path, run: Callable[..., tuple[Trial, ...]]) -> None:
    trials = run(tmp_path)
    trials = (replace(trials[0], val_auc=None, best_epoch=None, failed="a | <b>"), *trials[1:])
    save(trials, tmp_path, time.sleep)
    facts = json.loads((tmp_path / "sweep.json").read_bytes())
    assert facts == {"best": winner(trials).folder, "points": [asdict(trial) for trial in trials]}
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines()))
    assert [row["failed"] for row in rows] == ["a | <b>"] + [""] * 7
    assert float(rows[1]["val_auc"]) == trials[1].val_auc
    table = (tmp_path / "sweep.md").read_text().splitlines()
    assert (
        table[2] == "| 0.1 | 2 | momentum | failed: a \\| \\<b> |  |  | `lr0.1-batch2-momentum` |"
    )
    bold = [line for line in table if "**" in line]
    assert len(bold) == 1
    assert f"**{winner(trials).val_auc:.4f}**" in bold[0]
    assert (tmp_path / "sweep.png").read_bytes() == picture(trials)


def test_the_names_and_values_on_disk_are_those_of_earlier_versions(
    tmp_path: Path, run: Callable[..., tuple[Trial, ...]]
) -> None:
    trials = run(tmp_path)
    save(trials, tmp_path, time.sleep)
    first = json.loads((tmp_path / "sweep.json").read_bytes())["points"][0]
    assert [*first] == ["params", "folder", "val_auc", "best_epoch", "seconds", "failed"]
    assert first["params"] == {"lr": 0.1, "batch": 2, "optimizer": "momentum"}
    header, row, *_ = (tmp_path / "sweep.csv").read_text().splitlines()
    assert header == "lr,batch,optimizer,val_auc,best_epoch,seconds,failed"
    assert row == f"0.1,2,momentum,{trials[0].val_auc},{trials[0].best_epoch},1.5,"


def test_where_all_failed_the_tables_still_say_why(
    tmp_path: Path, run: Callable[..., tuple[Trial, ...]]
) -> None:
    trials = [
        Trial(params=trial.params, folder=trial.folder, failed="No.") for trial in run(tmp_path)
    ]
    save(trials, tmp_path, time.sleep)
    assert json.loads((tmp_path / "sweep.json").read_bytes())["best"] is None
    assert markdown(trials).count("failed: No.") == 8


def test_picture_shows_the_results(tmp_path: Path, run: Callable[..., tuple[Trial, ...]]) -> None:
    trials = run(tmp_path)
    best, *others = sorted(trials, key=lambda trial: trial is not winner(trials))
    assert picture(trials) == picture(trials)
    changed = [
        [replace(trials[0], val_auc=0.51), *trials[1:]],
        [replace(trials[0], val_auc=None, failed="No."), *trials[1:]],
        [replace(best, val_auc=0.0), *others],
    ]
    images = {picture(each) for each in [trials, *changed]}
    assert len(images) == 4
    for image in images:
        assert Image.open(io.BytesIO(image)).size == (1470, 660)
