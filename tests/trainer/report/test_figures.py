import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest

from trainer.report.chart import Chart
from trainer.report.comparison_report import Report
from trainer.report.figures import aucs, calibration, forest, losses, rocs
from trainer.report.results import DatasetResult
from trainer.report.style import VERDICTS

Facts = dict[str, Any]
Kind = Callable[[DatasetResult], list[Chart]]
AsReport = Callable[[Facts], Report]
KINDS = (losses, rocs, aucs, forest, calibration)
DRAWN = ["Lung Lesion", "Pleural Other"]  # Fracture has too few positives


@pytest.fixture
def dataset(report: Report) -> DatasetResult:
    return report.datasets[0]


@pytest.fixture
def facts(facts_of_report: Facts) -> Facts:
    """JSON of the dataset, to be changed."""
    found: Facts = facts_of_report["datasets"][0]
    return found


@pytest.fixture
def as_dataset(facts_of_report: Facts, as_report: AsReport) -> Callable[[], DatasetResult]:
    """The function that makes a dataset of the changed JSON."""
    return lambda: as_report(facts_of_report).datasets[0]


def only(dataset: DatasetResult, *titles: str) -> DatasetResult:
    arms = tuple(arm for arm in dataset.arms if arm.title in titles)
    rows = tuple(r for r in dataset.comparisons if {r.arm, r.control} <= {*titles})
    return replace(dataset, arms=arms, comparisons=rows)


def texts(chart: Chart) -> list[str]:
    return [text.text for text in ElementTree.fromstring(chart.svg).iter() if text.text]


def titles(charts: list[Chart]) -> list[str]:
    return [chart.title for chart in charts]


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_has_alternative_text_and_scales(kind: Kind, dataset: DatasetResult) -> None:
    for chart in kind(dataset):
        root = ElementTree.fromstring(chart.svg)
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 30
        assert root.get("viewBox")
        assert root.get("width") is None


def test_figures_of_a_page_share_no_id_and_refer_to_their_own(report: Report) -> None:
    charts = [c for kind, d in product(KINDS, report.datasets) for c in kind(d)]
    seen: set[str] = set()
    for chart in charts:
        own = re.findall(r'\bid="([^"]+)"', chart.svg)
        assert len(set(own)) == len(own)
        assert not seen & set(own)
        assert {*re.findall(r'(?:url\(|href=")#([^)"]+)', chart.svg)} == set(own)
        seen |= set(own)
    assert len(seen) > len(charts)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_hold_nothing_that_acts_on_the_page(kind: Kind, dataset: DatasetResult) -> None:
    for chart in kind(dataset):
        assert not re.search("<(style|metadata|script|!DOCTYPE|[?])", chart.svg)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_facts_are_the_same_bytes_whatever_the_users_matplotlibrc(
    kind: Kind, dataset: DatasetResult
) -> None:
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": False}):
        other = kind(dataset)
    assert kind(dataset) == other


@pytest.mark.parametrize("kind", [rocs, aucs, forest, calibration])
def test_targets_with_too_few_positives_are_not_drawn(
    kind: Kind, dataset: DatasetResult, facts: Facts, as_dataset: Callable[[], DatasetResult]
) -> None:
    assert titles(kind(dataset)) == DRAWN
    for arm in facts["arms"]:
        arm["pathologies"] = {name: {"missing": "too few"} for name in arm["pathologies"]}
    facts["comparisons"] = []
    assert kind(as_dataset()) == []


@pytest.mark.parametrize("kind", [rocs, aucs, calibration])
def test_without_targets_every_pathology_is_drawn(kind: Kind, dataset: DatasetResult) -> None:
    assert titles(kind(replace(dataset, targets=()))) == ["No Finding", *DRAWN]


@pytest.mark.parametrize("kind", KINDS)
def test_one_arm_alone(kind: Kind, dataset: DatasetResult) -> None:
    alone = {losses: ["gan"], forest: []}
    assert titles(kind(only(dataset, "gan"))) == alone.get(kind, DRAWN)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_without_intervals(
    kind: Kind, facts: Facts, as_dataset: Callable[[], DatasetResult]
) -> None:
    for arm in facts["arms"]:
        arm["runs"] = arm["runs"][:1]
        for found in arm["pathologies"].values():
            if found["auc"]:
                found["auc"] |= {"low": None, "high": None}
                found["auc_of_seeds"] = found["auc_of_seeds"][:1]
    for row in facts["comparisons"]:
        row |= {"low": None, "high": None, "verdict": "one seed"}
    assert kind(as_dataset())


def test_fourteen_targets(facts: Facts, as_dataset: Callable[[], DatasetResult]) -> None:
    names = [f"Target {number}" for number in range(14)]
    for arm in facts["arms"]:
        arm["pathologies"] |= dict.fromkeys(names, arm["pathologies"]["Lung Lesion"])
    row = facts["comparisons"][0]
    facts |= {"targets": names, "comparisons": [row | {"pathology": name} for name in names]}
    dataset = as_dataset()
    for kind in (rocs, aucs, forest, calibration):
        assert titles(kind(dataset)) == names


def test_losses_of_many_arms_have_a_figure_each_with_the_final_gap(dataset: DatasetResult) -> None:
    charts = losses(dataset)
    assert titles(charts) == ["none", "flip", "gan", "oversample", "pretrain"]
    for arm, chart in zip(dataset.arms, charts, strict=True):
        assert f"validation (final gap {arm.last.gap:+.3f})" in texts(chart)
        assert "validation of the other arms" in texts(chart)


def test_losses_of_few_arms_share_a_figure(dataset: DatasetResult) -> None:
    (chart,) = losses(only(dataset, "none", "gan"))
    assert chart.title == "none · gan"
    shown = texts(chart)
    assert {"none, train", "gan, train"} <= set(shown)
    assert any(text.startswith("gan, validation (final gap") for text in shown)


def test_a_roc_names_the_auc_of_each_arm(dataset: DatasetResult) -> None:
    for chart in rocs(dataset):
        for arm in dataset.arms:
            auc = arm.pathologies[chart.title].auc
            assert auc
            assert f"{arm.title} {auc.value:.3f}" in texts(chart)
            assert f"{arm.title} {auc.value:.3f}" in chart.svg[: chart.svg.index(">")]


def test_a_forest_says_the_verdict_of_each_difference(dataset: DatasetResult) -> None:
    for chart in forest(dataset):
        rows = [row for row in dataset.comparisons if row.pathology == chart.title]
        shown = texts(chart)
        assert [text for text in shown if text in VERDICTS] == [row.verdict for row in rows]
        assert [text for text in shown if text.startswith("vs ")] == [
            f"vs {row.control}" for row in rows
        ]
        for verdict, (colour, _) in VERDICTS.items():
            assert (f"stroke: {colour}" in chart.svg) == (verdict in shown)


def test_a_difference_without_interval_is_drawn_as_no_verdict(
    facts: Facts, as_dataset: Callable[[], DatasetResult]
) -> None:
    facts["comparisons"][0] |= {"low": None, "high": None, "p": None, "verdict": "no verdict"}
    chart = forest(as_dataset())[0]
    assert texts(chart).count("no verdict") == 1


def test_two_arms_of_a_name_are_drawn(
    facts: Facts, as_dataset: Callable[[], DatasetResult]
) -> None:
    facts["arms"].append(facts["arms"][2] | {"title": "gan, real=1 synthetic=0.5, own steps"})
    dataset = as_dataset()
    for kind in KINDS:
        assert kind(dataset)


def test_names_are_drawn_as_they_are(facts: Facts, as_dataset: Callable[[], DatasetResult]) -> None:
    name = 'T $x$ <b onload="x()">&'
    for arm in facts["arms"]:
        arm["pathologies"][name] = arm["pathologies"]["Lung Lesion"]
    facts["arms"][1]["title"] = "<i>$y$</i>"
    facts["targets"] = [name]
    dataset = as_dataset()
    for chart in (*rocs(dataset), *aucs(dataset)):
        root = ElementTree.fromstring(chart.svg)
        assert name in (root.get("aria-label") or "")
        assert "<i>$y$</i>" in " ".join(texts(chart))
        assert "<i>" not in chart.svg
