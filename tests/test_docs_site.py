"""The site of docs/: every page is in its navigation, every link and anchor leads somewhere."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
LEFT_OUT = CONFIG["exclude_docs"].split()
PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.md")
    if path.relative_to(DOCS).as_posix() not in LEFT_OUT
)
LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
# What a page of the site may load from elsewhere: nothing. A link that a reader clicks is no load.
LOADS = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|<link\b(?=[^>]*rel=[\"']?(?:stylesheet|preconnect|preload|icon))[^>]*href=[\"']?(?:https?:)?//"
    r"|url\([\"']?(?:https?:)?//|@import"
)


HOOKS = SimpleNamespace(**run_path(str(DOCS / "make/hooks.py")))
WRITTEN_BY_HAND = (  # pages whose sentences are counted
    *("index", "quick-start", "guide", "format", "glossary", "troubleshooting", "architecture"),
    "plugin/README",
)
MAX_WORDS = 40  # in a sentence


def in_nav(entry: Any) -> list[str]:
    """The pages of a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in in_nav(part)]


def prose(path: Path) -> str:
    """A page, or the words of a notebook, without its programs."""
    text = path.read_text(encoding="utf-8")
    text = HOOKS.notebook_text(text) if path.suffix == ".ipynb" else text
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a page's headings; equal ones are numbered."""
    seen: Counter[str] = Counter()
    found = set()
    for title in re.findall(r"^#+ (.+)$", prose(path), re.M):
        name = HOOKS.anchor(re.sub(r"[`*]|\]\([^)]*\)|\[", "", title))
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return frozenset(found)


def all_pages() -> list[Path]:
    outside = [ROOT / path for path in HOOKS.OUTSIDE if (ROOT / path).is_file()]
    return [*(DOCS / page for page in PAGES), *outside, ROOT / "README.md"]


def test_every_page_is_in_the_navigation_once() -> None:
    """A new page: add it to nav in mkdocs.yml."""
    listed = in_nav(CONFIG["nav"])
    assert len({*listed}) == len(listed)
    assert {*listed} == {*PAGES, *HOOKS.OUTSIDE.values()}


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_anchor_of_a_page_leads_somewhere(path: Path) -> None:
    for words, picture in LINK.findall(prose(path)):
        target, _, anchor = (words or picture).partition("#")
        if re.match(r"https?:|mailto:", target):
            continue
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(there), f"{target}#{anchor}"


def test_anchors_are_those_of_github() -> None:
    expected = "the-papers-question-on-nih"
    assert HOOKS.anchor("The paper's question on NIH") == expected
    assert HOOKS.anchor("A – b, c") == "a--b-c"


def test_links_of_the_repository_become_links_of_the_site() -> None:
    text = "[a](../builder/generators/nih64.card.md) [b](plugin) [c](audit.md#x) [d](https://e.org)"
    assert HOOKS.relinked(text, "generators.md") == (
        "[a](nih64.card.md) [b](plugin/README.md) [c](audit.md#x) [d](https://e.org)"
    )
    assert (
        HOOKS.relinked("[a](../generators.md#b)", "plugin/README.md") == "[a](../generators.md#b)"
    )


def sentences(text: str) -> list[str]:
    """The sentences of paragraphs, items and cells; a link or a command counts as one word."""
    plain = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`|<!--.*?-->", "code", text))
    parts = re.split(r"\n\s*\n|\n(?=[-|#>]|\d+\. )|\|", plain)
    return [each for part in parts for each in re.split(r"(?<=[.!?:])\s+", part) if each.strip()]


@pytest.mark.parametrize("page", WRITTEN_BY_HAND)
def test_sentences_are_short(page: str) -> None:
    found = sentences(prose(DOCS / f"{page}.md"))
    assert len(found) > 5
    assert [each for each in found if len(each.split()) > MAX_WORDS] == []
    assert sentences("a b. c d\n| e | f |\n") == ["a b.", "c d", " e ", " f "]


def test_the_glossary_is_in_order_and_short() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (DOCS / "glossary.md").read_text(), re.M)[1:]
    names = [re.sub(r"\W|_", "", name.casefold()) for name, _ in rows]
    assert len(names) > 30
    assert [said for _, said in rows if len(re.split(r"[.?!] (?=[A-Z])", said)) > 2] == []
    assert sorted(names) == sorted({*names})


def test_no_page_is_set_up_to_ask_another_host() -> None:
    assert CONFIG["theme"]["font"] is False
    assert CONFIG["plugins"] == ["search"]
    assert "extra_javascript" not in CONFIG
    assert "extra_css" not in CONFIG
    assert LOADS.search('<link rel="stylesheet" href="https://fonts.example/css">')
    assert not LOADS.search('<a href="https://arxiv.org/abs/1">paper</a>')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=300,
    )
    return folder


@pytest.mark.long
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for path in (*pages, *site.rglob("*.css")):
        assert not LOADS.search(path.read_text(encoding="utf-8")), path
    assert not (site / "make").exists()
    assert (site / "search/search_index.json").is_file()


@pytest.mark.long
def test_a_browser_asks_no_other_host(
    site: Path, browser: Any, requested: Callable[[], list[str]]
) -> None:
    requested()
    for page in ("index", "generators", "xbuild"):
        browser.get((site / f"{page}.html").as_uri())
        asked = requested()
        assert len(asked) > 1
        assert not [url for url in asked if re.match(r"https?:|wss?:", url)]
