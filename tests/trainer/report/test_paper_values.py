from dataclasses import replace

import pytest

from trainer.report.comparison_report import Report
from trainer.report.paper_values import (
    FIGURE_4,
    TABLE_1,
    TABLE_2,
    aucs,
    counts,
    gaps,
    is_of_phantoms,
)
from trainer.report.results import DatasetResult


@pytest.fixture
def dataset(report: Report) -> DatasetResult:
    return report.datasets[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"source": {"dataset": "nih"}},
        {"source": {}},
        {"regime": "25"},
        {"regime": None},
        {"build": {"uncertain": "zeros"}},
    ],
    ids=str,
)
def test_what_is_not_the_papers_has_no_values_of_it(
    dataset: DatasetResult, changes: dict[str, object]
) -> None:
    other = replace(dataset, **changes)
    assert counts(other) is aucs(other, "Fracture") is gaps(other) is None


def test_counts_of_another_share_are_not_the_papers(dataset: DatasetResult) -> None:
    assert dataset.plan
    other = replace(dataset, plan=replace(dataset.plan, share=(1, 10)))
    assert counts(other) is None
    assert counts(replace(dataset, plan=None)) is None
    for found in (other, replace(dataset, plan=None)):
        regime_1 = {name: value for name, value in TABLE_2[1, "Fracture"].items() if name != "gan"}
        assert aucs(found, "Fracture") == regime_1
        assert gaps(found) == {"none": FIGURE_4[1]["none"]}
    assert aucs(dataset, "Fracture") == TABLE_2[1, "Fracture"]


def test_one_regime_is_the_same_however_it_is_written(dataset: DatasetResult) -> None:
    tenth = replace(dataset, regime="10.0")
    assert counts(tenth) == TABLE_1[10]
    assert aucs(tenth, "Lung Lesion") == TABLE_2[10, "Lung Lesion"]
    assert gaps(tenth) == FIGURE_4[10]
    assert aucs(tenth, "No Finding") is None


def test_the_demo_is_of_phantoms(dataset: DatasetResult) -> None:
    assert is_of_phantoms(dataset)
    assert not is_of_phantoms(replace(dataset, source={"dataset": "chexpert"}))


def test_the_papers_rows_add_up_except_one() -> None:
    assert {regime for regime, row in TABLE_1.items() if row.total != row.combined} == {10}
