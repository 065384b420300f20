from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError, UsageError
from trainer.report.finding import find_runs
from trainer.report.load import load_run
from trainer.report.resampled import subgroups
from trainer.report.studies import Study, studies

Writer = Callable[..., Path]
Edit = Callable[[Path], Any]


def of(*folders: Path) -> tuple[Study, ...]:
    return studies([load_run(folder) for folder in folders])


def test_runs_are_grouped_by_dataset_arm_and_seed(run_folders: Path) -> None:
    first, tenth = of(*find_runs([run_folders]))
    assert [arm.title for arm in first.arms] == ["none", "flip", "gan", "oversample", "pretrain"]
    assert [run.seed for run in first.arms[2].runs] == [0, 1, 2]
    assert first.report.manifest.name == "gan1"
    assert not any(arm.lent_by for arm in first.arms)
    assert [(arm.title, arm.lent_by) for arm in tenth.arms] == [
        ("none", "gan1"), ("flip", "gan1"), ("gan", None), ("oversample", "gan1"),
    ]  # fmt: skip


def test_two_datasets_of_a_name_are_told_apart_by_digest(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    folders = [run_writer(tmp_path / arm, arm, 0) for arm in ("none", "gan")]
    for folder, digest in zip(folders, "ab", strict=True):
        edit(folder).set("manifest.digest", digest * 64)
    lender, other = of(*folders)
    assert (lender.name, other.name) == ("gan1-aaaaaaaa", "gan1-bbbbbbbb")
    assert [(arm.title, arm.lent_by) for arm in other.arms] == [
        ("none", "gan1-aaaaaaaa"), ("gan", None),
    ]  # fmt: skip


def test_controls_are_not_lent_where_the_real_half_differs(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    one = run_writer(tmp_path, "none", 0)
    other = run_writer(tmp_path, "gan", 0, dataset="gan10", regime="10")
    edit(other).set("controls", "d" * 64)
    assert [len(study.arms) for study in of(one, other)] == [1, 1]


@pytest.mark.parametrize(("steps", "lent"), [("own", ["none, own steps"]), ("equal", [])])
def test_real_images_alone_are_lent_to_another_dose(
    run_writer: Writer, edit: Edit, tmp_path: Path, steps: str, lent: list[str]
) -> None:
    runs = [run_writer(tmp_path, arm, 0) for arm in ("none", "oversample")]
    runs.append(run_writer(tmp_path, "gan", 0, dataset="gan25"))
    for run in runs:
        edit(run).set("real", "e" * 64)
        edit(run).set("config.steps", steps)
    edit(runs[2]).set("controls", "d" * 64)
    edit(runs[2]).set("images.train synthetic", 3000)
    edit(run_writer(tmp_path, "flip", 0)).set("config.steps", "equal")
    (_, larger) = of(*runs, tmp_path / "gan1/flip-seed0")
    assert [arm.title for arm in larger.arms if arm.lent_by] == lent


def test_the_weight_of_synthetic_images_leaves_the_plain_control_plain(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    light, plain = run_writer(tmp_path, "gan", 0), run_writer(tmp_path, "none", 0)
    edit(light).set("config.synthetic_weight", 0.5)
    (study,) = of(light, plain)
    none, gan = study.arms
    assert none.is_plain_for(gan)


def test_an_arm_with_something_unusual_is_an_arm_of_its_own(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    plain, flipped = run_writer(tmp_path, "gan", 0), run_writer(tmp_path / "b", "gan", 0)
    mixed, own = run_writer(tmp_path / "c", "gan", 0), run_writer(tmp_path / "d", "none", 0)
    small = run_writer(tmp_path / "e", "gan", 0)
    light = run_writer(tmp_path / "f", "gan", 0)
    edit(light).set("config.synthetic_weight", 0.5)
    edit(small).set("config.network", "resnet18")
    edit(flipped).set("config.augment", "flip")
    edit(mixed).set("config.mix", "real=1,synthetic=0.5")
    edit(own).set("config.steps", "own")
    (study,) = of(plain, flipped, mixed, own, small, light)
    assert [arm.title for arm in study.arms] == [
        "none, own steps", "gan", "gan, flip", "gan, real=1 synthetic=0.5", "gan, resnet18",
        "gan, synthetic weight 0.5",
    ]  # fmt: skip


def test_runs_that_are_no_seeds_of_one_arm_are_refused(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    one, twin = run_writer(tmp_path, "gan", 0), run_writer(tmp_path / "b", "gan", 0)
    with pytest.raises(UsageError, match="are both arm gan with seed 0: leave one of them out"):
        of(one, twin)
    edit(twin).set("config.seed", 1)
    edit(twin).set("config.lr", 0.5)
    with pytest.raises(UsageError, match=r"differ in lr \(0.001 and 0.5\): report them apart"):
        of(one, twin)


def test_runs_tested_on_other_images_are_refused(run_writer: Writer, tmp_path: Path) -> None:
    one = load_run(run_writer(tmp_path, "gan", 0))
    other = load_run(run_writer(tmp_path, "none", 0))
    other.test.key[:] = ["real-of-another-dataset", *other.test.key[1:]]
    with pytest.raises(CheckError, match="were not tested on the same images"):
        studies([one, other])


def test_known_labels_of_all_runs_must_agree(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    folders = [run_writer(tmp_path, arm, 0) for arm in ("none", "gan", "oversample")]
    column = "label:Lung Lesion"

    def label(folder: Path, value: int) -> None:
        edit(folder).predict(
            lambda table: table.assign(**{column: [value, *table[column].iloc[1:]]})
        )

    for folder, value in zip(folders, (-1, 1, -1), strict=True):  # unread by some
        label(folder, value)
    of(*folders)
    label(folders[2], 0)
    with pytest.raises(CheckError, match=r"was not tested on the labels of .*none-seed0"):
        of(*folders)


def test_groups_are_those_of_the_first_run_that_has_them(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    folders = [run_writer(tmp_path, arm, 0) for arm in ("none", "gan")]
    (whole,) = of(*folders)
    edit(folders[0]).predict(lambda table: table.drop(columns=["sex", "view"]))
    edit(folders[1]).predict(lambda table: table.drop(columns=["age"]))
    (study,) = of(*folders)
    assert subgroups(study) == subgroups(whole)
    assert len(subgroups(study)) == 7
