from collections.abc import Callable
from dataclasses import replace

import pytest

from trainer.report.comparison_report import Report
from trainer.report.results import DatasetResult, ExternalResult, SampleSize
from trainer.report.tables.external import external_aucs, external_differences

Cell = Callable[..., str]


@pytest.fixture
def dataset(report: Report) -> DatasetResult:
    """The first dataset, as if tested on itself under another name."""
    found = report.datasets[0]
    test = ExternalResult(
        name="padchest",
        digest="f" * 64,
        source={},
        test=SampleSize(images=900, patients=300),
        labels={"Lung Lesion": "nodule", "Pleural Other": "Pleural Other"},
        left_out=("Fracture",),
        without=("oversample",),
        targets=found.targets[:2],
        positives={name: found.positives[name] for name in found.targets[:2]},
        arms={arm.title: arm.pathologies for arm in found.arms if arm.title != "oversample"},
        comparisons=tuple(r for r in found.comparisons if r.control != "oversample"),
    )
    return replace(found, external=(test,))


def test_each_difference_stands_beside_the_one_at_home(
    dataset: DatasetResult, report: Report, cell: Cell
) -> None:
    table = external_differences(dataset, report.settings)
    where = ("padchest", "gan", "none", "Lung Lesion")
    own = next(
        r for r in dataset.comparisons if (r.arm, r.control, r.pathology) == where[1:]
    )  # fmt: skip
    assert cell(table, "at home", *where) == f"{own.value:+.3f}, helped"
    assert cell(table, "difference", *where) == f"{own.value:+.3f}"
    assert cell(table, "verdict", *where) == "helped"
    assert all(row[2] != "oversample" for row in table.rows)
    assert {row[3] for row in table.rows} == {*dataset.targets}


def test_aucs_of_arms_that_were_not_scored_are_dashes(
    dataset: DatasetResult, report: Report, cell: Cell
) -> None:
    table = external_aucs(dataset, report.settings)
    found = next(arm for arm in dataset.arms if arm.title == "gan").pathologies["Lung Lesion"].auc
    assert found is not None
    assert cell(table, "gan", "padchest", "Lung Lesion").startswith(f"{found.value:.3f} (")
    assert cell(table, "oversample", "padchest", "Lung Lesion") == "–"
    assert "900 test images of 300 patients; it labels Lung Lesion as nodule." in table.note


def test_without_other_test_sets_there_are_no_rows(report: Report) -> None:
    for make in (external_aucs, external_differences):
        assert not make(report.datasets[0], report.settings).rows
