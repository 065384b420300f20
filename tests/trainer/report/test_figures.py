import re
from collections.abc import Callable
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest

from trainer.report.build_report import across
from trainer.report.chart import Chart
from trainer.report.figures import aucs, calibration, forest, losses, rocs
from trainer.report.style import ARMS, VERDICTS, looks

Facts = dict[str, Any]
KINDS = (losses, rocs, aucs, forest, calibration)
DRAWN = ["Lung Lesion", "Pleural Other"]  # Fracture has too few positives


@pytest.fixture(scope="module")
def read(run_folders: Path) -> Facts:
    return across([run_folders], min_positives=10, command="xtrain report runs")


@pytest.fixture
def dataset(read: Facts) -> Facts:
    return deepcopy(read["datasets"][0])


def only(dataset: Facts, *titles: str) -> Facts:
    arms = [arm for arm in dataset["arms"] if arm["title"] in titles]
    rows = [r for r in dataset["comparisons"] if {r["arm"], r["control"]} <= {*titles}]
    return dataset | {"arms": arms, "comparisons": rows}


def words(chart: Chart) -> list[str]:
    return [(text.text or "") for text in ElementTree.fromstring(chart.svg).iter() if text.text]


def titles(charts: list[Chart]) -> list[str]:
    return [chart.title for chart in charts]


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_has_alternative_text_and_scales(
    kind: Callable[[Facts], list[Chart]], dataset: Facts
):
    for chart in kind(dataset):
        root = ElementTree.fromstring(chart.svg)
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 30
        assert root.get("viewBox")
        assert root.get("width") is None


def test_figures_of_a_page_share_no_id_and_refer_to_their_own(read: Facts):
    charts = [c for kind, d in product(KINDS, read["datasets"]) for c in kind(d)]
    seen: set[str] = set()
    for chart in charts:
        own = re.findall(r'\bid="([^"]+)"', chart.svg)
        assert len(set(own)) == len(own)
        assert not seen & set(own)
        assert {*re.findall(r'(?:url\(|href=")#([^)"]+)', chart.svg)} == set(own)
        seen |= set(own)
    assert len(seen) > len(charts)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_hold_nothing_that_acts_on_the_page(
    kind: Callable[[Facts], list[Chart]], dataset: Facts
):
    for chart in kind(dataset):
        assert not re.search("<(style|metadata|script|!DOCTYPE|[?])", chart.svg)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_facts_are_the_same_bytes_whatever_the_users_matplotlibrc(
    kind: Callable[[Facts], list[Chart]], dataset: Facts
):
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": False}):
        other = kind(deepcopy(dataset))
    assert kind(dataset) == other


@pytest.mark.parametrize("kind", [rocs, aucs, forest, calibration])
def test_targets_with_too_few_positives_are_not_drawn(
    kind: Callable[[Facts], list[Chart]], dataset: Facts
):
    assert titles(kind(dataset)) == DRAWN
    for arm in dataset["arms"]:
        arm["pathologies"] = {n: {"missing": "too few"} for n in arm["pathologies"]}
    dataset["comparisons"] = []
    assert kind(dataset) == []


@pytest.mark.parametrize("kind", [rocs, aucs, calibration])
def test_without_targets_every_pathology_is_drawn(
    kind: Callable[[Facts], list[Chart]], dataset: Facts
):
    dataset["targets"] = []
    assert titles(kind(dataset)) == ["No Finding", *DRAWN]


@pytest.mark.parametrize("kind", KINDS)
def test_one_arm_alone(kind: Callable[[Facts], list[Chart]], dataset: Facts):
    alone = {losses: ["gan"], forest: []}
    assert titles(kind(only(dataset, "gan"))) == alone.get(kind, DRAWN)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_without_intervals(kind: Callable[[Facts], list[Chart]], dataset: Facts):
    for arm in dataset["arms"]:
        arm["runs"] = arm["runs"][:1]
        for found in arm["pathologies"].values():
            if "auc" in found:
                found["auc"] |= {"low": None, "high": None}
                found["auc_of_seeds"] = found["auc_of_seeds"][:1]
    for row in dataset["comparisons"]:
        row |= {"low": None, "high": None, "verdict": "one seed"}
    assert kind(dataset)


def test_fourteen_targets(dataset: Facts):
    names = [f"Target {number}" for number in range(14)]
    for arm in dataset["arms"]:
        arm["pathologies"] |= dict.fromkeys(names, arm["pathologies"]["Lung Lesion"])
    row = dataset["comparisons"][0]
    dataset |= {"targets": names, "comparisons": [row | {"pathology": name} for name in names]}
    for kind in (rocs, aucs, forest, calibration):
        assert titles(kind(dataset)) == names


def test_losses_of_many_arms_stand_apart_with_the_final_gap(dataset: Facts):
    charts = losses(dataset)
    assert titles(charts) == ["none", "flip", "gan", "oversample", "pretrain"]
    for arm, chart in zip(dataset["arms"], charts, strict=True):
        assert f"validation (final gap {arm['last']['gap']:+.3f})" in words(chart)
        assert "validation of the other arms" in words(chart)


def test_losses_of_few_arms_stand_together(dataset: Facts):
    (chart,) = losses(only(dataset, "none", "gan"))
    assert chart.title == "none · gan"
    shown = words(chart)
    assert {"none, train", "gan, train"} <= set(shown)
    assert any(word.startswith("gan, validation (final gap") for word in shown)


def test_losses_with_gaps_in_the_history(dataset: Facts):
    dataset["arms"][0]["runs"][0]["losses"][1] = [0.3, None]
    assert len(losses(dataset)) == 5


def test_a_roc_names_the_auc_of_each_arm(dataset: Facts):
    for chart in rocs(dataset):
        for arm in dataset["arms"]:
            value = arm["pathologies"][chart.title]["auc"]["value"]
            assert f"{arm['title']} {value:.3f}" in words(chart)
            assert f"{arm['title']} {value:.3f}" in chart.svg[: chart.svg.index(">")]


def test_a_forest_says_the_verdict_of_each_difference(dataset: Facts):
    for chart in forest(dataset):
        rows = [r for r in dataset["comparisons"] if r["pathology"] == chart.title]
        shown = words(chart)
        assert [w for w in shown if w in VERDICTS] == [row["verdict"] for row in rows]
        assert [w for w in shown if w.startswith("vs ")] == [f"vs {r['control']}" for r in rows]
        for word, (colour, _) in VERDICTS.items():
            assert (f"stroke: {colour}" in chart.svg) == (word in shown)


def test_an_arm_has_one_look_everywhere(read: Facts):
    first, second = (looks(dataset) for dataset in read["datasets"])
    assert all(second[title] == first[title] for title in second)
    found = [first[title] for title in ("none", "gan", "oversample")]
    for name in ("colour", "marker", "dashes"):
        assert len({str(getattr(look, name)) for look in found}) >= 2
    assert len({look.colour for look in first.values()}) == len(first)
    assert len({look.marker for look in first.values()}) == len(first)
    assert not {colour for colour, _ in VERDICTS.values()} & {look[0] for look in ARMS.values()}


def test_an_unusual_arm_looks_unusual_even_alone(dataset: Facts):
    dataset["arms"] = [dataset["arms"][2] | {"title": "gan, flip"}]
    assert looks(dataset)["gan, flip"].colour != ARMS["gan"][0]


def test_two_arms_of_a_name_look_different(dataset: Facts):
    gan = dataset["arms"][2]
    dataset["arms"].append(gan | {"title": "gan, real=1 synthetic=0.5, own steps"})
    first, second = looks(dataset)["gan"], looks(dataset)[dataset["arms"][-1]["title"]]
    assert first.colour != second.colour
    assert second.face == "white"
    for kind in KINDS:
        assert kind(dataset)


def test_names_are_drawn_as_they_are(dataset: Facts):
    name = 'T $x$ <b onload="x()">&'
    for arm in dataset["arms"]:
        arm["pathologies"][name] = arm["pathologies"]["Lung Lesion"]
    dataset["arms"][1]["title"] = "<i>$y$</i>"
    dataset["targets"] = [name]
    for chart in (*rocs(dataset), *aucs(dataset)):
        root = ElementTree.fromstring(chart.svg)
        assert name in (root.get("aria-label") or "")
        assert "<i>$y$</i>" in " ".join(words(chart))
        assert "<i>" not in chart.svg
