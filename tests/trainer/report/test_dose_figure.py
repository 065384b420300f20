from xml.etree import ElementTree

import pytest

from trainer.report.across import DoseCurve, DosePoint
from trainer.report.chart import Chart
from trainer.report.dose_figure import doses
from trainer.report.style import COLOURS, Style

STYLE = {
    "none": Style(colour=COLOURS[5], marker="o", dashes="-", face=COLOURS[5]),
    "gan": Style(colour=COLOURS[0], marker="s", dashes="-", face=COLOURS[0]),
    "oversample": Style(colour=COLOURS[1], marker="^", dashes="--", face=COLOURS[1]),
}


@pytest.fixture
def curves() -> list[DoseCurve]:
    points = tuple(
        DosePoint(
            dataset=f"gan{share}", share=share / 100, synthetic=10 * share, value=share / 1000,
            low=low, high=None if low is None else 0.1, holm=0.2, verdict="no evidence",
        )
        for share, low in ((5, -0.05), (25, None))
    )  # fmt: skip
    return [
        DoseCurve(about="a to b", pathology=name, arm="gan", control=control, points=points)
        for name in ("Mass <&>", "Hernia")
        for control in ("none", "oversample")
    ]


def texts(chart: Chart) -> list[str]:
    return [text.text for text in ElementTree.fromstring(chart.svg).iter() if text.text]


def test_each_target_has_a_figure_with_every_share_and_control(curves: list[DoseCurve]) -> None:
    found = doses(curves, STYLE)
    assert [chart.title for chart in found] == ["Mass <&>", "Hernia"]
    for chart in found:
        assert {"5 %", "25 %", "gan − none", "gan − oversample"} <= {*texts(chart)}
        assert STYLE["oversample"].colour in chart.svg
        assert STYLE["gan"].colour not in chart.svg
        said = ElementTree.fromstring(chart.svg).get("aria-label") or ""
        assert "gan minus none: +0.005 at 5 %, +0.025 at 25 %" in said


def test_the_same_curves_are_the_same_bytes_and_none_are_no_figure(
    curves: list[DoseCurve],
) -> None:
    assert doses(curves, STYLE) == doses(curves, STYLE)
    assert doses([], STYLE) == []
