import io
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builder.contract import sha256_bytes
from trainer.recipe import ARMS
from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report
from trainer.report.page import MEANINGS, PagePicture, PictureKind, page
from trainer.report.style import VERDICTS
from trainer.report.tables import tables

Facts = dict[str, Any]
AsReport = Callable[[Facts], Report]
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
VOID = {"meta", "link", "img", "br", "path", "use"}


class Parsed(HTMLParser):
    """The elements of a page, in order, and the text of each table's cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.parts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.parts.append(data)

    @property
    def text(self) -> str:
        return plain("".join(self.parts))

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def plain(text: str) -> str:
    """The text with single blanks, and hyphens for minus signs, as in JSON."""
    return " ".join(text.replace("−", "-").split())


def png(width: int = 40, height: int = 20) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), 90).save(file, "png")
    return file.getvalue()


def picture(
    key: PictureKind = "examples", dataset: str = "gan1", note: str = "By chance."
) -> PagePicture:
    title = "Real and synthetic" if key == "examples" else "Maps"
    digest = sha256_bytes(dataset.encode())
    return PagePicture(key=key, dataset=digest, title=title, note=note, png=png())


@pytest.fixture(scope="module")
def shown(report: Report) -> str:
    return page(report, [picture(), picture("cams"), picture("cams", "gan10")])


def test_nothing_is_asked_of_a_network_and_no_script_may_run(shown: str) -> None:
    parsed = Parsed(shown)
    assert not parsed.all("script", "iframe", "object", "embed", "form", "base")
    for _, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    policy = [m["content"] for m in parsed.all("meta") if "http-equiv" in m]
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]
    assert "script" not in policy[0]
    assert "@import" not in shown
    assert not re.search(r"url\((?!#)", shown)


def test_ids_differ_and_anchors_lead_somewhere(shown: str) -> None:
    parsed = Parsed(shown)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [link["href"][1:] for link in parsed.all("a")]
    assert len(links) > 10
    labels = [a["aria-labelledby"] for _, a in parsed.elements if "aria-labelledby" in a]
    assert {*links, *labels} <= set(ids)


def test_it_can_be_read_by_ear(shown: str) -> None:
    parsed = Parsed(shown)
    assert parsed.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert {cell.get("scope") for cell in parsed.all("th")} == {"row", "col"}
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(figure["aria-label"] for figure in parsed.all("svg"))


def test_every_table_is_complete(shown: str, report: Report) -> None:
    text = Parsed(shown).text
    for table in tables(report):
        assert plain(f"{table.title} {' '.join(name for name in table.columns if name)}") in text
        for row in table.rows:
            assert plain(" ".join(row)) in text
        assert plain(table.note) in text


def test_the_answer_comes_first_with_every_sentence_and_verdict(shown: str, report: Report) -> None:
    text = Parsed(shown).text
    answer = text[: text.index("The arms", text.index("At a glance"))]
    for dataset in report.datasets:
        for found in dataset.conclusions:
            assert found.verdict in answer
            assert plain(found.sentence) in answer
    for note in report.notes:
        assert note in answer
    assert "against balance: better" in answer


def test_what_is_not_drawn_is_said(shown: str) -> None:
    said = "Not drawn: Fracture, because there are only 3 positives in test and 10 are needed."
    assert said in Parsed(shown).text


def test_pictures_are_in_the_page_with_their_size_and_text(shown: str) -> None:
    images = Parsed(shown).all("img")
    assert len(images) == 3
    for image in images:
        kind, data = image["src"].split(",")
        assert kind == "data:image/png;base64"
        assert b64decode(data) == png()
        assert (image["width"], image["height"]) == ("40", "20")
    assert images[0]["alt"] == "gan1: Real and synthetic. By chance."


@pytest.mark.usefixtures("words_alone")
def test_sections_without_content_are_left_out(report: Report) -> None:
    datasets = tuple(replace(dataset, subgroups=()) for dataset in report.datasets)
    links = [link["href"] for link in Parsed(page(replace(report, datasets=datasets))).all("a")]
    assert "#table2" in links
    assert not {"#examples", "#cams", "#subgroups"} & set(links)


@pytest.mark.usefixtures("words_alone")
def test_one_dataset_needs_no_section_of_its_own(report: Report) -> None:
    parsed = Parsed(page(replace(report, datasets=report.datasets[:1])))
    assert not [details for details in parsed.all("details") if "class" in details]
    assert "At a glance" not in parsed.text
    assert "Before you read on" in parsed.text


@pytest.mark.usefixtures("words_alone")
def test_a_dataset_with_one_arm_has_nothing_to_judge(
    run_writer: Callable[..., Path], tmp_path: Path
) -> None:
    run_writer(tmp_path, "none", 0)
    report = build_report([tmp_path], min_positives=10, command="xtrain report runs")
    parsed = Parsed(page(report))
    assert "there is nothing to judge" in parsed.text
    assert "one seed says nothing about other seeds" in parsed.text


@pytest.mark.usefixtures("words_alone")
def test_one_training_each_is_marked_as_such(
    run_writer: Callable[..., Path], tmp_path: Path
) -> None:
    for arm in ("none", "gan", "oversample"):
        run_writer(tmp_path, arm, 0)
    report = build_report([tmp_path], min_positives=10, command="xtrain report runs")
    assert "one seed against balance: one seed" in Parsed(page(report)).text


@pytest.mark.usefixtures("words_alone")
def test_every_dataset_has_its_own_pictures(report: Report) -> None:
    shown = page(report, [picture(dataset="gan10", note="Of 10."), picture(note="Of 1.")])
    assert [image["alt"] for image in Parsed(shown).all("img")] == [
        f"{dataset.name}: Real and synthetic. Of {dataset.regime}." for dataset in report.datasets
    ]


@pytest.mark.usefixtures("words_alone")
def test_counts_of_test_images_and_patients_have_one_order(
    facts_of_report: Facts, as_report: AsReport
) -> None:
    first, second = facts_of_report["datasets"]
    first["test"] = {"images": 900, "patients": 400}
    second["test"] = {"images": 1200, "patients": 300}
    text = Parsed(page(as_report(facts_of_report))).text
    assert "900 / 1,200" in text
    assert "400 / 300" in text


@pytest.mark.usefixtures("words_alone")
def test_every_arm_is_explained(report: Report) -> None:
    assert [*MEANINGS] == [*ARMS]
    text = Parsed(page(report)).text
    for arm in report.datasets[0].arms:
        assert f"{arm.title} {MEANINGS[arm.name]}" in text


def test_a_strangers_text_is_only_text(facts_of_report: Facts, as_report: AsReport) -> None:
    facts = facts_of_report
    facts["notes"].append(EVIL)
    facts["command"] = EVIL
    facts["software"]["cxr-rebalance"] = EVIL
    for dataset in facts["datasets"]:
        dataset["regime"] = dataset["generator"]["name"] = dataset["source"]["dataset"] = EVIL
        dataset["name"] = f"{EVIL}{dataset['name']}"
        dataset["conclusions"][0]["sentence"] = EVIL
        dataset["build"]["x"] = EVIL
        dataset["arms"][0]["title"] = EVIL
        for row in dataset["comparisons"]:
            row["control"] = EVIL if row["control"] == "none" else row["control"]
        dataset["arms"][0]["runs"][0]["command"] = EVIL
    parsed = Parsed(page(as_report(facts), [picture(note=EVIL)]))
    assert not parsed.all("script")
    assert len(parsed.all("img")) == 1
    assert not [a for _, attributes in parsed.elements for a in attributes if a.startswith("on")]
    assert plain(EVIL) in parsed.text
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len({*ids}) == len(ids)
    assert all(re.fullmatch(r"[\w-]+", name) for name in ids)


def test_the_same_report_is_the_same_page(
    report: Report, report_json: Facts, as_report: AsReport
) -> None:
    assert page(report, [picture()]) == page(as_report(report_json), [picture()])


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_letters_stand_out_from_what_is_behind_them(shown: str) -> None:
    for name in ("ink", "quiet", "link", "helped", "hurt"):
        (colour,) = re.findall(rf"--{name}: (#\w{{6}});", shown)
        assert contrast(colour, "#ffffff") >= 4.5
        assert contrast(colour, "#f5f7f8") >= 4.5
    for colour, _ in VERDICTS.values():
        assert contrast(colour, "#ffffff") >= 4.5
    (plain_badge,) = re.findall(r"color: (#\w{6}); background: (#\w{6});", shown)
    assert contrast(*plain_badge) >= 4.5
    badges = re.findall(r"[.]badge[.]([\w-]+) {.*background: (#\w{6})", shown)
    assert len(badges) == 3
    for verdict, behind in badges:
        assert contrast(VERDICTS[verdict.replace("-", " ")][0], behind) >= 4.5
