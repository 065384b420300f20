import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import CheckError, UsageError
from trainer.report.runs import Study, find_runs, load_run, studies

Writer = Callable[..., Path]


def of(*folders: Path) -> tuple[Study, ...]:
    return studies([load_run(folder) for folder in folders])


def edit(folder: Path, **changes: object) -> None:
    path = folder / "report.json"
    facts = json.loads(path.read_text())
    config = facts["config"] | {k: v for k, v in changes.items() if k in facts["config"]}
    facts |= {k: v for k, v in changes.items() if k in facts} | {"config": config}
    path.write_text(json.dumps(facts))


def test_runs_are_grouped_by_dataset_arm_and_seed(run_folders: Path):
    first, tenth = of(*find_runs([run_folders]))
    assert [arm.title for arm in first.arms] == ["none", "flip", "gan", "oversample", "pretrain"]
    assert [run.seed for run in first.arms[2].runs] == [0, 1, 2]
    assert first.facts["manifest"]["name"] == "gan1"
    assert not any(arm.lent_by for arm in first.arms)
    assert [(arm.title, arm.lent_by) for arm in tenth.arms] == [
        ("none", "gan1"), ("flip", "gan1"), ("gan", ""), ("oversample", "gan1"),
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


def test_predictions_of_other_pathologies_do_not_fit(run_writer: Writer, tmp_path: Path):
    folder = run_writer(tmp_path, "gan", 0)
    edit(folder, pathologies=[{"pathology": "Hernia"}])
    with pytest.raises(CheckError, match="do not fit each other"):
        load_run(folder)
    shutil.rmtree(folder)
