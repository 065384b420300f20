"""The page of an audit: what stands in it, in which order, and that strangers' words stay words."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from markupsafe import escape

from builder.audit.features import PixelFeatures
from builder.audit.gradients import Gradients
from builder.audit.page import Pair, page
from builder.audit.page.html import POINTS, SECTIONS
from builder.audit.shortcuts import told_apart
from builder.audit.summary import findings, summarise
from builder.audit.traces import Traced
from builder.contract.audit import Audit, Interval, Suspect

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


def test_the_verdict_is_the_second_column_of_each_table_that_has_one(audit: Audit) -> None:
    heads = re.findall(r"<thead>.*?</thead>", page(audit))
    columns = [re.findall(r"<th [^>]*>([^<]*)</th>", head) for head in heads]
    verdicts = [names for names in columns if {*names} & {"verdict", "claimed"}]
    assert len(verdicts) == 6
    assert all(names[1] in ("verdict", "claimed") for names in verdicts)


def verdicts(audit: Audit, table: str) -> list[tuple[str, str]]:
    """Kind and words of each verdict in a table of the page."""
    (rows,) = re.findall(rf'<caption id="{table}-caption".*?</table>', page(audit), re.DOTALL)
    return re.findall(r'<td><span class="badge ([a-z]*)">([^<]*)</span></td>', rows)


@pytest.mark.parametrize(
    ("value", "low", "high", "floor"),
    [
        (0.66, 0.55, 0.75, (0.48, 0.68)),  # above chance, and within what two real sets give
        (0.66, 0.55, 0.75, None),
        (0.66, 0.69, 0.75, (0.48, 0.68)),
        (0.66, 0.45, 0.75, None),
        (0.55, 0.52, 0.58, (0.4, 0.5)),
    ],
)
def test_each_row_of_shortcuts_is_judged_as_the_summary_is(
    audit: Audit, value: float, low: float, high: float, floor: tuple[float, float] | None
) -> None:
    assert audit.shortcuts is not None
    told = replace(
        audit.shortcuts.origin[0],
        auc=Interval(value=value, low=low, high=high),
        floor=floor and Interval(value=0.58, low=floor[0], high=floor[1]),
    )
    apart = told_apart(told, audit.settings["told"])
    assert apart is (value > 0.6 and low > (floor[1] if floor else 0.5))
    shortcuts = replace(audit.shortcuts, origin=(told,), sources=(told,), told=apart)
    found = replace(audit, shortcuts=shortcuts)
    expected = ("look", "told apart") if apart else ("fine", "hardly told apart")
    assert verdicts(found, "origin") == verdicts(found, "sources") == [expected]
    assert ("hardly tells" in " ".join(summarise(found))) is not apart


def test_what_was_not_measured_in_real_images_is_not_said_to_be_hardly_found(audit: Audit) -> None:
    blind = replace(audit.agreement[0], tells=False)
    for real, words in (
        (blind.real, "It is hardly found in real images either: nothing follows."),
        (None, "There are too few real images with it: nothing follows."),
    ):
        text = page(replace(audit, agreement=(replace(blind, real=real),)))
        assert words in text
        assert text.count("nothing follows") == 1


def test_figures_without_a_floor_are_not_called_as_real_ones(audit: Audit) -> None:
    assert audit.quality is not None
    figure = replace(audit.quality.figures[0], differs=False)
    for floor, expected in (
        (figure.floor, ("fine", "as real images")),
        (None, ("", "cannot tell")),
    ):
        quality = replace(audit.quality, figures=(replace(figure, floor=floor),))
        found = replace(audit, quality=quality)
        assert verdicts(found, "distance") == [expected]
        status = {finding.topic: finding.status for finding in findings(found)}["Quality"]
        assert status == ("as real images" if floor else "not tested")


def test_terms_of_mathematics_stand_in_the_method_alone(audit: Audit) -> None:
    size = np.zeros((1024, 64))
    pixels = PixelFeatures(axes=size, mean=size[:, 0], deviation=size[0])
    assert audit.quality is not None
    assert audit.shortcuts is not None
    exact = f"{pixels.identity}; divided by their root mean square over the training images, so"
    probe = f"logistic regression, 8,697 real images: {Gradients().identity}"
    real = replace(
        audit,
        quality=replace(audit.quality, extractor=exact),
        shortcuts=replace(audit.shortcuts, extractor=Traced(of=pixels).identity),
        agreement=tuple(replace(each, classifier=probe) for each in audit.agreement),
    )
    points, method = page(real).split('<section id="method"')
    text = " ".join(Reader(points).texts)
    for term in ("whiten", "principal", "root mean square", "spread", "covarian", "vector"):
        assert term not in text.casefold()
    for term in ("regression", "gradients", "spectrum", "extractor", "codec"):
        assert term not in text.casefold()
    for said in (exact, probe, Traced(of=pixels).identity):
        assert escape(said) in method


def test_only_the_first_rare_combinations_are_shown_at_once(audit: Audit) -> None:
    assert "<details" not in page(audit)
    assert audit.rare is not None
    listed = tuple(((f"P{i}",), 1, 1) for i in range(12))
    text = page(replace(audit, rare=replace(audit.rare, listed=listed, vectors=30)))
    assert text.count('<tr class="more">') == 2
    assert "<details><summary>2 more</summary></details>" in text
    assert "Rare combinations of labels: the 12 that fewest patients have" in text


def test_what_could_not_be_judged_is_said(audit: Audit) -> None:
    text = page(bare(audit))
    assert text.count('class="absent"') == 8
    assert "<svg" not in text
    assert "A part is absent." in text


def test_the_planted_table_says_what_is_found_and_what_is_missed(audit: Audit) -> None:
    text = page(audit)
    found = r"jpeg</th>.*<td><span class=\"badge fine\">found<.*>100 %</td></tr>"
    assert re.search(found, text)
    assert re.search(
        r"inversion</th>.*<td><span class=\"badge look\">often missed<.*0 %</td></tr>", text
    )


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
