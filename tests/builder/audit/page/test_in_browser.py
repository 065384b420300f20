"""The page of an audit in a real browser: silent, narrow enough, and open to all."""

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builder.audit.page import Pair, page
from builder.contract.audit import Audit

STRANGE = "<script>window.ran = true</script><img src=x onerror='window.ran = true'>"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an audit with pictures and a strange note."""
    assert audit.copies is not None
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(pixels).save(file, "png")
    png = file.getvalue()
    pairs = [Pair(suspect=each, image=png, of=png) for each in audit.copies.listed]
    path = tmp_path_factory.mktemp("page") / "gan100.audit.html"
    assert audit.rare is not None
    listed = tuple(((f"P{i}", "Edema"), 1, i) for i in range(14))
    strange = replace(audit, notes=(STRANGE,), rare=replace(audit.rare, listed=listed))
    path.write_text(page(strange, pairs, pairs), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, path: Path) -> Any:
    resize(browser, 1280)
    browser.get_log("browser")
    browser.get(path.as_uri())
    return browser


def resize(browser: Any, width: int) -> None:
    how = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)


def test_it_opens_without_a_message_and_without_a_network(opened: Any) -> None:
    assert opened.title == "Audit of gan100"
    assert opened.get_log("browser") == []
    loaded = opened.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert all(name.startswith("data:") for name in loaded)
    assert opened.execute_script("return window.ran") is None
    widths = opened.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert widths == [64] * 8


def test_its_policy_stops_a_script_that_got_in(opened: Any) -> None:
    opened.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'window.ran = true'; document.body.append(script);"
    )
    assert opened.execute_script("return window.ran") is None
    said = " ".join(entry["message"] for entry in opened.get_log("browser"))
    assert "Content Security Policy" in said


@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_no_barrier(opened: Any, barriers: Any, width: int) -> None:
    resize(opened, width)
    assert barriers() == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_but_tables_is_wider_than_the_window(opened: Any, width: int) -> None:
    resize(opened, width)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    wide = opened.execute_script(
        "return [...document.querySelectorAll('main *')].filter(part => !part.closest('.scroll')"
        " && part.getBoundingClientRect().right > innerWidth + 1).map(part => part.outerHTML)"
    )
    assert wide == []


@pytest.mark.parametrize("width", [360, 390, 768])
def test_each_verdict_is_on_the_screen(opened: Any, width: int) -> None:
    resize(opened, width)
    ends = opened.execute_script(
        "return [...document.querySelectorAll('td .badge')]"
        ".map(badge => badge.getBoundingClientRect().right)"
    )
    assert ends
    assert max(ends) <= width


def test_rare_combinations_unfold_and_print_open(opened: Any) -> None:
    seen = (
        "return [...document.querySelectorAll('tr.more')].filter(row => row.checkVisibility())"
        ".length"
    )
    assert opened.execute_script(seen) == 0
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    printed = opened.execute_script(seen)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert printed == 4
    opened.execute_script("document.querySelector('summary').click()")
    assert opened.execute_script(seen) == 4


def test_each_strip_shows_the_figure_inside_its_scale(opened: Any) -> None:
    outside = opened.execute_script(
        "return [...document.querySelectorAll('svg rect')].filter(bar => {"
        " const [a, b] = [bar, bar.closest('svg')].map(x => x.getBoundingClientRect());"
        " return a.left < b.left - 1 || a.right > b.right + 1 || a.width < 0.5; }).length"
    )
    assert outside == 0


def test_it_prints(opened: Any) -> None:
    answer = opened.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(answer["data"]).startswith(b"%PDF")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = opened.execute_script("return document.querySelector('nav').checkVisibility()")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert not hidden
