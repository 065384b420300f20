"""The page of an audit: what stands in it, in which order, and that strangers' words stay words."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from builder.audit.page import Pair, page
from builder.audit.page.html import POINTS, SECTIONS
from builder.contract.audit import Audit, Suspect

PNG = b"\x89PNG-"


class Reader(HTMLParser):
    """Headings, texts, images, and the number of cells of each row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def bare(audit: Audit) -> Audit:
    """An audit that could judge nothing."""
    return replace(
        audit, quality=None, agreement=(), shortcuts=None, copies=None, nearness=None, rare=None
    )


def pairs_of(audit: Audit) -> list[Pair]:
    assert audit.copies is not None
    return [Pair(suspect=each, image=PNG, of=PNG) for each in audit.copies.listed]


def test_the_summary_comes_first_and_eight_points_follow(audit: Audit) -> None:
    text = page(audit)
    places = [text.index(f'<section id="{key}"') for key in SECTIONS]
    assert places == sorted(places)
    assert next(iter(SECTIONS)) == "summary"
    assert len(POINTS) == 8
    levels = [int(tag[1]) for tag, _ in Reader(text).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[:2] == [1, 2]
    assert levels.count(1) == 1
    assert all(later - former <= 1 for former, later in pairwise(levels))


def test_every_figure_stands_beside_its_floor_with_its_numbers(audit: Audit) -> None:
    text = page(audit)
    assert "0.0120<small>(0.0100 to 0.0140)</small></td>" in text  # kid
    assert "0.0010<small>(0.000 to 0.0020)</small></td>" in text  # its floor
    assert "400 synthetic, 500 real of 300 patients" in text
    assert "setting told</th><td>0.6</td>" in text
    assert "extractor of features</th><td>pixels</td>" in text
    assert "Distances between images do not measure membership risk." in text


def test_what_could_not_be_judged_is_said(audit: Audit) -> None:
    text = page(bare(audit))
    assert text.count('class="absent"') == 8
    assert "<svg" not in text
    assert "A part is absent." in text


def test_the_planted_table_says_what_is_found_and_what_is_missed(audit: Audit) -> None:
    text = page(audit)
    assert re.search(r"jpeg</th>.*100 %</td><td><span class=\"badge fine\">found<", text)
    assert re.search(r"inversion</th>.*0 %</td><td><span class=\"badge look\">often missed<", text)


def test_pictures_of_suspects_lie_next_to_each_other(audit: Audit) -> None:
    reader = Reader(page(audit, pairs_of(audit)))
    images = reader.of("img")
    assert [image["alt"] for image in images[:2]] == [
        "synthetic image gan100-mass-0000001",
        "training image real-0000000000000001",
    ]
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert "real radiographs" in " ".join(reader.texts)
    without = page(audit)
    assert "<img" not in without
    assert "real radiographs: this page" not in without


def test_a_strangers_words_are_escaped(audit: Audit) -> None:
    strange = "<script>alert(1)</script>\" onerror='x'"
    suspect = Suspect(key=strange, of=strange, similarity=1.0)
    assert audit.rare is not None
    hostile = replace(
        audit,
        name=strange,
        notes=(strange,),
        settings={strange: 1.0},
        software={strange: strange},
        agreement=(replace(audit.agreement[0], target=strange),),
        rare=replace(audit.rare, listed=(((strange,), 1, 1),)),
    )
    reader = Reader(page(hostile, [Pair(suspect=suspect, image=PNG, of=PNG)]))
    assert not reader.of("script")
    assert not [1 for _, attributes in reader.tags if "onerror" in attributes]


@pytest.mark.parametrize("word", ["private", "anonym"])
def test_no_promise_is_made(audit: Audit, word: str) -> None:
    for each in (audit, bare(audit)):
        assert word not in page(each, pairs_of(audit)).casefold()


def test_it_asks_for_nothing_and_runs_nothing(audit: Audit) -> None:
    text = page(audit, pairs_of(audit))
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)
    assert "url(" not in text
