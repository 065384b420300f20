import re
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.axes import Axes

from trainer.report.chart import Chart, make_chart


def draw(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1 / 3], label="$x$ & <y>")
    axes.legend()


@pytest.fixture
def make() -> Callable[..., Chart]:
    """The function that makes a chart: (digest, kind, title, alt) → Chart."""

    def chart(
        digest: str = "ab", kind: str = "roc", title: str = "Fracture", alt: str = "A line."
    ) -> Chart:
        return make_chart(digest, kind, title, alt, 3.0, draw)

    return chart


def test_a_chart_is_an_image_with_alternative_text(make: Callable[..., Chart]) -> None:
    chart = make(alt='A "line" <of> two & more.')
    root = ElementTree.fromstring(chart.svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", 'A "line" <of> two & more.')
    assert root.get("viewBox")
    assert root.get("width") is root.get("height") is None
    assert chart.title == "Fracture"


def test_text_stays_text_without_mathematics_and_fonts(make: Callable[..., Chart]) -> None:
    svg = make().svg
    assert "$x$ &amp; &lt;y&gt;" in svg
    assert "font-family" not in svg
    assert not re.search(r' (d|x|y|transform|style)="[^"]*\d\.\d{3,}', svg)


@pytest.mark.parametrize("other", [{"digest": "cd"}, {"kind": "auc"}, {"title": "Hernia"}], ids=str)
def test_two_charts_share_no_id(make: Callable[..., Chart], other: dict[str, str]) -> None:
    one, two = (set(re.findall(r'\bid="([^"]+)"', c.svg)) for c in (make(), make(**other)))
    assert one
    assert not one & two


def test_the_users_matplotlibrc_changes_nothing(make: Callable[..., Chart]) -> None:
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": False}):
        other = make()
    assert make() == other
