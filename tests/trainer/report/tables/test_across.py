from collections.abc import Callable
from dataclasses import replace

import pytest

from trainer.report.across import DoseCurve, DosePoint, Variant
from trainer.report.comparison_report import Report
from trainer.report.tables.across import doses, variants

Cell = Callable[..., str]


@pytest.fixture
def across(report: Report) -> Report:
    """The report with a curve of two shares and two variants, one without a figure."""
    points = tuple(
        DosePoint(
            dataset=f"gan{share}", share=share / 100, synthetic=1000 * share, value=0.02,
            low=0.01, high=0.03, holm=0.004, verdict="helped",
        )
        for share in (5, 15)
    )  # fmt: skip
    curve = DoseCurve(about="", pathology="Mass", arm="gan", control="none", points=points)
    known = Variant(
        dataset="alone", arm="gan", differs=("vectors alone",), reference="plain",
        pathology="Mass", missing=None, value=-0.01, low=-0.03, high=0.01, holm=0.4,
        verdict="no evidence",
    )  # fmt: skip
    unknown = replace(known, pathology="Hernia", missing="too few", value=None, low=None, holm=None)
    return replace(report, doses=(curve,), variants=(known, unknown))


def test_every_share_is_a_row(across: Report, cell: Cell) -> None:
    table = doses(across)
    assert [row[2] for row in table.rows] == ["5 %", "15 %"]
    where = ("Mass", "gan − none", "15 %")
    assert cell(table, "synthetic", *where) == "15,000"
    assert cell(table, "difference", *where) == "+0.020"
    assert cell(table, "95 % CI", *where) == "+0.010 to +0.030"
    assert cell(table, "dataset", *where) == "gan15"
    assert table.strong == {0, 1}


def test_a_variant_says_in_what_it_differs(across: Report) -> None:
    table = variants(across)
    rows = {row[3]: row for row in table.rows}
    assert rows["Mass"][2:] == (
        "vectors alone", "Mass", "-0.010", "-0.030 to +0.010", "0.400", "no evidence"
    )  # fmt: skip
    assert rows["Hernia"][4:7] == ("–", "–", "–")
    assert "gan of plain, the reference" in table.note
    assert "Hernia: too few." in table.note


def test_one_dataset_alone_has_neither(report: Report) -> None:
    assert doses(report).rows == variants(report).rows == ()
