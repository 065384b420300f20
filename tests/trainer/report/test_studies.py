import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from builder.contract import CheckError, UsageError
from trainer.report.load import load_run
from trainer.report.resampled import groups
from trainer.report.studies import Study, find_runs, studies

Writer = Callable[..., Path]


def of(*folders: Path) -> tuple[Study, ...]:
    return studies([load_run(folder) for folder in folders])


def edit(folder: Path, **changes: object) -> None:
    """Changes of the run's config, or of its facts where the config has no such field."""
    path = folder / "report.json"
    facts = json.loads(path.read_text())
    for name, value in changes.items():
        (facts["config"] if name in facts["config"] else facts)[name] = value
    path.write_text(json.dumps(facts))


def write(folder: Path, field: str, value: object) -> None:
    """The same run with another value at a field of report.json such as `plan.share`."""
    path = folder / "report.json"
    facts = json.loads(path.read_text())
    *above, last = field.split(".")
    place = facts
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    path.write_text(json.dumps(facts))


def predict(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """The same run with other predictions."""
    path = folder / "predictions.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


GONE: Any = type("GONE", (), {})  # a class, whose name in a test's id is always the same


def test_runs_are_grouped_by_dataset_arm_and_seed(run_folders: Path):
    first, tenth = of(*find_runs([run_folders]))
    assert [arm.title for arm in first.arms] == ["none", "flip", "gan", "oversample", "pretrain"]
    assert [run.seed for run in first.arms[2].runs] == [0, 1, 2]
    assert first.facts["manifest"]["name"] == "gan1"
    assert not any(arm.lent_by for arm in first.arms)
    assert [(arm.title, arm.lent_by) for arm in tenth.arms] == [
        ("none", "gan1"), ("flip", "gan1"), ("gan", ""), ("oversample", "gan1"),
    ]  # fmt: skip


def test_two_datasets_of_a_name_are_told_apart_by_digest(run_writer: Writer, tmp_path: Path):
    folders = [run_writer(tmp_path / arm, arm, 0) for arm in ("none", "gan")]
    for folder, digest in zip(folders, "ab", strict=True):
        facts = json.loads((folder / "report.json").read_text())
        facts["manifest"]["digest"] = digest * 64
        (folder / "report.json").write_text(json.dumps(facts))
    lender, other = of(*folders)
    assert (lender.name, other.name) == ("gan1-aaaaaaaa", "gan1-bbbbbbbb")
    assert [(arm.title, arm.lent_by) for arm in other.arms] == [
        ("none", "gan1-aaaaaaaa"), ("gan", ""),
    ]  # fmt: skip


def test_controls_are_not_lent_where_the_real_half_differs(run_writer: Writer, tmp_path: Path):
    one = run_writer(tmp_path, "none", 0)
    other = run_writer(tmp_path, "gan", 0, dataset="gan10", regime="10")
    edit(other, controls="d" * 64)
    assert [len(study.arms) for study in of(one, other)] == [1, 1]


def test_an_arm_with_something_unusual_is_an_arm_of_its_own(run_writer: Writer, tmp_path: Path):
    plain, flipped = run_writer(tmp_path, "gan", 0), run_writer(tmp_path / "b", "gan", 0)
    mixed, own = run_writer(tmp_path / "c", "gan", 0), run_writer(tmp_path / "d", "none", 0)
    edit(flipped, augment="flip")
    edit(mixed, mix="real=1,synthetic=0.5")
    edit(own, steps="own")
    (study,) = of(plain, flipped, mixed, own)
    assert [arm.title for arm in study.arms] == [
        "none, own steps", "gan", "gan, flip", "gan, real=1 synthetic=0.5",
    ]  # fmt: skip


def test_each_run_is_found_once(run_folders: Path):
    folders = find_runs([run_folders, run_folders / "gan1", run_folders / "gan1" / "gan-seed0"])
    assert len(folders) == 18
    with pytest.raises(UsageError, match="holds no complete run"):
        find_runs([run_folders / "gan1", run_folders.parent / "nothing"])


def test_runs_that_are_no_seeds_of_one_arm_are_refused(run_writer: Writer, tmp_path: Path):
    one, twin = run_writer(tmp_path, "gan", 0), run_writer(tmp_path / "b", "gan", 0)
    with pytest.raises(UsageError, match="are both arm gan with seed 0: leave one of them out"):
        of(one, twin)
    edit(twin, seed=1, lr=0.5)
    with pytest.raises(UsageError, match=r"differ in lr \(0.001 and 0.5\): report them apart"):
        of(one, twin)


def test_runs_tested_on_other_images_are_refused(run_writer: Writer, tmp_path: Path):
    one, other = run_writer(tmp_path, "gan", 0), run_writer(tmp_path, "none", 0)
    table = load_run(other).test
    table.key[0] = "real-of-another-dataset"
    run = load_run(other)
    run.test.key[:] = table.key
    with pytest.raises(CheckError, match="were not tested on the same images"):
        studies([load_run(one), run])


@pytest.mark.parametrize("name", ["report.json", "history.csv", "predictions.parquet"])
def test_a_run_that_is_not_complete_says_so(run_writer: Writer, tmp_path: Path, name: str):
    folder = run_writer(tmp_path, "gan", 0)
    (folder / name).unlink()
    with pytest.raises(UsageError, match=f"holds no complete run of xtrain, for it has no {name}"):
        load_run(folder)


@pytest.mark.parametrize("name", ["report.json", "predictions.parquet"])
def test_a_run_that_is_damaged_says_so(run_writer: Writer, tmp_path: Path, name: str):
    folder = run_writer(tmp_path, "gan", 0)
    (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    with pytest.raises(CheckError, match="are cut or do not fit each other"):
        load_run(folder)


def test_a_run_of_an_earlier_version_says_how_to_renew_it(run_writer: Writer, tmp_path: Path):
    folder = run_writer(tmp_path, "gan", 0)
    facts = json.loads((folder / "report.json").read_text())
    del facts["controls"]
    (folder / "report.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="has no controls: run xtrain evaluate"):
        load_run(folder)


@pytest.mark.parametrize(
    ("epochs", "history", "asked"),
    [(2, 2, 3), (3, 2, 3), (2, 3, 3), (3, 3, 6)],
    ids=["evaluated after an interruption", "history cut", "report not renewed", "being extended"],
)
def test_a_run_that_is_not_finished_is_refused(
    run_writer: Writer, tmp_path: Path, epochs: int, history: int, asked: int
):
    folder = run_writer(tmp_path, "gan", 0)
    for field, value in {"epochs": epochs, "best_epoch": 2, "config.epochs": asked}.items():
        write(folder, field, value)
    rows = (folder / "history.csv").read_text().splitlines(keepends=True)
    (folder / "history.csv").write_text("".join(rows[: 1 + history]))
    said = f"is not finished, its history has {history} of {asked} epochs and its report {epochs}"
    with pytest.raises(UsageError, match=f"{said}: go on with xtrain fit --resume"):
        load_run(folder)


@pytest.mark.parametrize("loss", ["", "nan", "inf", "high"])
def test_a_history_without_a_loss_is_damaged(run_writer: Writer, tmp_path: Path, loss: str):
    folder = run_writer(tmp_path, "gan", 0)
    text = (folder / "history.csv").read_text()
    (folder / "history.csv").write_text(text.replace("0.25,", f"{loss},"))
    with pytest.raises(CheckError, match="do not fit each other"):
        load_run(folder)


def test_a_run_without_test_images_is_refused(run_writer: Writer, tmp_path: Path):
    folder = run_writer(tmp_path, "gan", 0)
    predict(folder, lambda table: table.assign(split="val"))
    with pytest.raises(UsageError, match="has no predictions of test images, so there is nothing"):
        load_run(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", "240"), ("steps", True), ("unread", GONE), ("shown", {"real": 1}),
        ("shown.real", float("inf")), ("generator", "phantom"), ("source", None), ("images", []),
        ("software", []), ("best_epoch", 4), ("best_epoch", 0), ("best_val_auc_mean", "0.7"),
        ("plan.targets", [{"pathology": "Fracture"}]), ("plan.targets", {}),
        ("plan.targets.0.pathology", "Pleural Other"), ("plan.targets.0.pathology", "Hernia"),
        ("plan.targets.0.render", 1.5), ("plan.share", [3]), ("plan.share", [3, 0]),
        ("build.regime", "0"), ("build.regime", "1e999999999"), ("build.regime", "one"),
        ("build.regime", []), ("config.seed", "0"), ("config.arm", "none"), ("arm", "none"),
        ("config.augment", "turn"), ("config.steps", "all"), ("config.mix", "<b>"),
        ("config.shards", None), ("config.skip_bad", 0), ("manifest.name", "../../gan1"),
        ("manifest.name", "<script>"), ("manifest.digest", "x" * 64), ("manifest", "gan1"),
        ("command", "xtrain \x1b[2J"), ("source.dataset", "\ud800"), ("build.\u202e", 1),
        ("generator.name", ["a", {"b": "\n"}]),
    ],
    ids=str,
)  # fmt: skip
def test_a_strangers_report_is_not_trusted(
    run_writer: Writer, tmp_path: Path, field: str, value: object
):
    folder = run_writer(tmp_path, "gan", 0)
    load_run(folder)
    write(folder, field, value)
    with pytest.raises(CheckError, match="do not fit each other"):
        load_run(folder)


@pytest.mark.parametrize("text", ["7", "null", '"words"', "[" * 100_000, "{", "\xff"])
def test_what_is_no_report_is_refused(run_writer: Writer, tmp_path: Path, text: str):
    folder = run_writer(tmp_path, "gan", 0)
    (folder / "report.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError):
        load_run(folder)


@pytest.mark.parametrize("regime", [GONE, None, "0.5", "100"], ids=str)
def test_a_dataset_may_have_any_regime_or_none(run_writer: Writer, tmp_path: Path, regime: object):
    folder = run_writer(tmp_path, "gan", 0)
    write(folder, "build.regime", regime)
    assert len(of(folder)) == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"sex": "<script>"}, {"age": None}, {"patient": 7}, {"key": None},
        {"label:Fracture": 2}, {"probability:Fracture": 1.5}, {"probability:Fracture": np.nan},
        {"label:<b>": 1, "probability:<b>": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_strange_predictions_are_not_trusted(
    run_writer: Writer, tmp_path: Path, columns: dict[str, object]
):
    folder = run_writer(tmp_path, "gan", 0)
    predict(folder, lambda table: table.assign(**columns))
    with pytest.raises(CheckError, match="do not fit each other"):
        load_run(folder)


def labelled(folder: Path, value: int) -> None:
    """The same run with another label of the first image."""
    column = "label:Lung Lesion"
    predict(folder, lambda table: table.assign(**{column: [value, *table[column][1:]]}))


def test_known_labels_of_all_runs_must_agree(run_writer: Writer, tmp_path: Path):
    folders = [run_writer(tmp_path, arm, 0) for arm in ("none", "gan", "oversample")]
    for folder, value in zip(folders, (-1, 1, -1), strict=True):  # unread by some
        labelled(folder, value)
    of(*folders)
    labelled(folders[2], 0)
    with pytest.raises(CheckError, match=r"was not tested on the labels of .*none-seed0"):
        of(*folders)


def test_groups_are_those_of_the_first_run_that_has_them(run_writer: Writer, tmp_path: Path):
    folders = [run_writer(tmp_path, arm, 0) for arm in ("none", "gan")]
    (whole,) = of(*folders)
    predict(folders[0], lambda table: table.drop(columns=["sex", "view"]))
    predict(folders[1], lambda table: table.drop(columns=["age"]))
    (study,) = of(*folders)
    assert groups(study) == groups(whole)
    assert len(groups(study)) == 7


def test_predictions_of_other_pathologies_do_not_fit(run_writer: Writer, tmp_path: Path):
    folder = run_writer(tmp_path, "gan", 0)
    edit(folder, pathologies=[{"pathology": "Hernia"}])
    with pytest.raises(CheckError, match="do not fit each other"):
        load_run(folder)
    shutil.rmtree(folder)
