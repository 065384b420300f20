import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder.contract.record import to_json
from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report

Edit = Callable[[Path], Any]


def test_it_is_the_same_every_time(run_folders: Path, report: Report) -> None:
    again = build_report([run_folders], min_positives=10, command="xtrain report runs")
    assert again == report


def test_it_says_how_it_was_made(report: Report) -> None:
    assert report.command == "xtrain report runs"
    assert report.settings.min_positives == 10
    assert {"python", "torch", "cxr-rebalance"} <= report.software.keys()
    assert [dataset.name for dataset in report.datasets] == ["gan1", "gan10"]


def test_its_json_has_no_nan(report: Report) -> None:
    text = to_json(report)
    assert json.dumps(json.loads(text), allow_nan=False, indent=2) + "\n" == text


def test_what_all_arms_have_in_common_is_a_note_and_no_title(
    run_writer: Callable[..., Path], edit: Edit, tmp_path: Path
) -> None:
    for arm in ("none", "gan", "oversample"):
        for seed in (0, 1):
            folder = run_writer(tmp_path, arm, seed)
            edit(folder).set("config.augment", "flip")
            edit(folder).set("config.steps", "own")
    found = build_report([tmp_path], min_positives=10, command="")
    dataset = found.datasets[0]
    assert [arm.title for arm in dataset.arms] == ["none", "gan", "oversample"]
    assert "gan1: every arm was trained with flip, own steps." in found.notes
    assert dataset.conclusions[0].over_balancing is not None
    assert " with random" not in dataset.conclusions[0].sentence


def test_an_arm_that_flips_does_not_put_the_others_augmentation_into_every_title(
    run_writer: Callable[..., Path], edit: Edit, tmp_path: Path
) -> None:
    for arm in ("none", "gan", "oversample"):
        for seed in (0, 1):
            edit(run_writer(tmp_path, arm, seed)).set("config.augment", "radiograph")
    for seed in (0, 1):
        edit(run_writer(tmp_path, "flip", seed)).set("config.augment", "flip")
    found = build_report([tmp_path], min_positives=10, command="")
    assert [arm.title for arm in found.datasets[0].arms] == ["none", "flip", "gan", "oversample"]
    assert "gan1: every arm but flip was trained with radiograph." in found.notes
    assert " with random turns" not in found.datasets[0].conclusions[0].sentence
