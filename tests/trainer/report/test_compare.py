from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report
from trainer.report.results import Comparison, DatasetResult


def find(dataset: DatasetResult, arm: str, control: str, pathology: str) -> Comparison:
    wanted = (arm, control, pathology)
    (row,) = (r for r in dataset.comparisons if (r.arm, r.control, r.pathology) == wanted)
    return row


@pytest.fixture
def dataset(report: Report) -> DatasetResult:
    return report.datasets[0]


def test_the_drawn_truth_is_found(dataset: DatasetResult) -> None:
    def verdict(arm: str, name: str) -> str | None:
        return find(dataset, arm, "none", name).verdict

    assert verdict("gan", "Lung Lesion") == "helped"
    assert verdict("pretrain", "Pleural Other") == "hurt"
    assert verdict("oversample", "Lung Lesion") == "no evidence"
    assert verdict("gan", "Fracture") == "no verdict"


def test_only_a_plain_control_says_helped_or_hurt(dataset: DatasetResult) -> None:
    assert find(dataset, "gan", "oversample", "Lung Lesion").verdict == "better"
    assert find(dataset, "pretrain", "oversample", "Pleural Other").verdict == "worse"


def test_what_is_compared_with_what(dataset: DatasetResult) -> None:
    controls = ("none", "flip", "oversample")
    assert {(row.arm, row.control) for row in dataset.comparisons} == {
        *((arm, control) for arm in ("gan", "pretrain") for control in controls),
        ("flip", "none"),
        ("oversample", "none"),
    }


def test_other_pathologies_have_differences_without_verdict(dataset: DatasetResult) -> None:
    row = find(dataset, "gan", "none", "No Finding")
    assert not row.target
    assert row.verdict is row.holm is None
    assert row.low is not None
    assert row.value is not None
    assert row.high is not None
    assert row.low < row.value < row.high


def test_few_positives_have_no_figure_anywhere(dataset: DatasetResult) -> None:
    why = "there are only 3 positives in test and 10 are needed"
    assert dataset.positives["Fracture"].positives == 3
    for arm in dataset.arms:
        found = arm.pathologies["Fracture"]
        assert (found.missing, found.auc, found.roc, found.sensitivity) == (why, None, (), None)
    row = find(dataset, "gan", "none", "Fracture")
    assert (row.missing, row.value, row.p, row.holm) == (why, None, None, None)


def test_a_higher_bar_leaves_out_more(run_folders: Path) -> None:
    found = build_report([run_folders / "gan10"], min_positives=110, command="")
    (dataset,) = found.datasets
    (arm,) = dataset.arms
    assert arm.title == "gan"
    assert arm.pathologies["Lung Lesion"].auc
    assert not arm.pathologies["Pleural Other"].auc
    assert dataset.conclusions[0].verdict == "no control"


def test_subgroups_are_those_of_the_table(dataset: DatasetResult) -> None:
    rows = dataset.subgroups
    assert {(row.group, row.value) for row in rows} == {
        ("view", "ap"), ("view", "pa"), ("view", "lateral"), ("sex", "female"), ("sex", "male"),
        ("age", "20-40"), ("age", "60-80"),
    }  # fmt: skip
    sexes = [row for row in rows if row.group == "sex" and row.pathology == "Lung Lesion"]
    assert sum(row.images for row in sexes) == 900
    positives = dataset.positives["Lung Lesion"].positives
    assert sum(row.positives for row in sexes) == positives
    female = sexes[0]
    assert female.value == "female"
    assert female.auc["gan"].value > female.auc["none"].value
    (gap,) = (d for d in female.differences if (d.arm, d.control) == ("gan", "none"))
    assert gap.low is not None
    assert gap.low > 0
    assert not any(row.auc or row.differences for row in rows if row.missing)


def test_one_seed_is_said_to_be_one(run_writer: Callable[..., Path], tmp_path: Path) -> None:
    for arm in ("none", "gan"):
        run_writer(tmp_path, arm, 0)
    found = build_report([tmp_path], min_positives=10, command="")
    row = find(found.datasets[0], "gan", "none", "Lung Lesion")
    assert row.seed_share == 0
    assert row.verdict == "one seed"
    assert any("one seed says nothing about other seeds" in note for note in found.notes)
    sentence = found.datasets[0].conclusions[0].sentence
    assert "with one seed, adding synthetic images raised test AUC by" in sentence
    assert "another seed may not repeat it" in sentence
    assert "balance" not in sentence
