"""The page in a real browser: headless Chromium, as Debian packages it."""

import base64
import io
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.report.comparison_report import Report
from trainer.report.page import PagePicture, page

WIDTHS = (360, 768, 1280)
STRANGE = "<script>window.ran = true</script><img src=x onerror='window.ran = true'>"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(
    report_json: dict[str, Any],
    as_report: Callable[[dict[str, Any]], Report],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The page of a report with strange names."""
    facts = deepcopy(report_json)
    facts["notes"].append(STRANGE)
    facts["datasets"][0]["generator"]["name"] = STRANGE
    report = as_report(facts)
    pixels = np.random.default_rng(0).integers(0, 255, (300, 900), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    pictures = [
        PagePicture(key=key, dataset=data.digest, title=key, note=STRANGE, png=file.getvalue())
        for key in ("examples", "cams")
        for data in report.datasets
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(report, pictures), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, path: Path) -> Any:
    """The page in a window of 1280 pixels, as it opens."""
    resize(browser, 1280)
    browser.get_log("browser")  # what another test left
    browser.get(path.as_uri())
    return browser


def resize(browser: Any, width: int) -> None:
    how = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)


def evaluate(browser: Any, script: str, *arguments: Any) -> Any:
    return browser.execute_script(f"return {script}", *arguments)


def unfold(browser: Any) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")


def test_it_opens_without_a_message_and_without_a_network(opened: Any) -> None:
    assert opened.title == "Do synthetic images help? gan1, gan10"
    assert opened.get_log("browser") == []
    loaded = evaluate(opened, "performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(name.startswith("data:") for name in loaded)
    assert evaluate(opened, "window.ran") is None


def test_its_policy_stops_a_script_that_got_in(opened: Any) -> None:
    opened.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'window.ran = true'; document.body.append(script);"
        "const image = new Image(); image.src = 'http://127.0.0.1:9/x.png';"
        "document.body.append(image);"
    )
    assert evaluate(opened, "window.ran") is None
    said = " ".join(entry["message"] for entry in opened.get_log("browser"))
    assert "Content Security Policy" in said


@pytest.mark.parametrize("width", WIDTHS)
def test_every_link_leads_to_its_section_below_the_navigation(opened: Any, width: int) -> None:
    resize(opened, width)
    links = opened.find_elements("css selector", "nav a")
    assert len(links) == 13
    for link in links:
        link.click()
        name = link.get_attribute("href").split("#")[1]
        top, bottom, end = evaluate(
            opened,
            "[document.getElementById(arguments[0]).getBoundingClientRect().top,"
            " innerWidth < 1216 ? document.querySelector('nav').getBoundingClientRect().bottom : 0,"
            " innerHeight + scrollY >= document.documentElement.scrollHeight - 2]",
            name,
        )
        assert top >= bottom - 1  # not hidden below the bar
        assert top < 120 or (end and top < 800)


def test_every_fold_opens(opened: Any) -> None:
    folds = opened.find_elements("css selector", "details")
    assert len(folds) > 10
    for fold in folds:
        if not fold.get_property("open"):
            fold.find_element("css selector", "summary").click()
        assert fold.get_property("open")
        inside = fold.find_elements("css selector", ":scope > :not(summary)")
        assert all(part.is_displayed() for part in inside)


def test_every_image_is_there(opened: Any) -> None:
    unfold(opened)
    widths = evaluate(opened, "[...document.images].map(image => image.naturalWidth)")
    assert widths == [900] * 4
    figures = evaluate(
        opened,
        "[...document.querySelectorAll('svg')].map(figure => figure.getBoundingClientRect().width)",
    )
    assert len(figures) > 20
    assert min(figures) > 200


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_but_tables_is_wider_than_the_window(opened: Any, width: int) -> None:
    resize(opened, width)
    unfold(opened)
    assert evaluate(opened, "document.documentElement.scrollWidth") <= width
    wide = evaluate(
        opened,
        "[...document.querySelectorAll('main *')].filter(part => !part.closest('.scroll, svg')"
        " && part.getBoundingClientRect().right > innerWidth + 1).map(part => part.outerHTML)",
    )
    assert wide == []


def test_letters_can_be_read_on_a_phone(opened: Any) -> None:
    resize(opened, 360)
    sizes = evaluate(
        opened,
        "[...document.querySelectorAll('main p:not(.note), main li')].map("
        "part => parseFloat(getComputedStyle(part).fontSize))",
    )
    assert min(sizes) >= 16
    scales = evaluate(
        opened,
        "[...document.querySelectorAll('svg')].map(figure => figure.getScreenCTM().a)",
    )
    assert 9.5 * min(scales) > 9.5  # the smallest letters of a figure, in pixels


def test_text_in_figures_does_not_leave_them(opened: Any) -> None:
    unfold(opened)
    outside = evaluate(
        opened,
        "[...document.querySelectorAll('svg text')].filter(text => {"
        " const [a, b] = [text, text.closest('svg')].map(x => x.getBoundingClientRect());"
        " return a.left < b.left - 2 || a.right > b.right + 2"
        " || a.top < b.top - 2 || a.bottom > b.bottom + 2;"
        "}).map(text => text.textContent)",
    )
    assert outside == []


def test_print_shows_what_is_folded_and_no_navigation(opened: Any) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    seen = evaluate(
        opened,
        "[...document.querySelectorAll('details > :not(summary)')].map("
        "part => part.checkVisibility() && part.getBoundingClientRect().height > 0)",
    )
    navigation = evaluate(opened, "document.querySelector('nav').checkVisibility()")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(seen) > 20
    assert all(seen)
    assert not navigation


def test_it_prints_as_many_pages_folded_as_open(opened: Any) -> None:
    folded = printed(opened)
    unfold(opened)
    assert pages(folded) == pages(printed(opened)) > 5


def printed(browser: Any) -> bytes:
    answer = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    return base64.b64decode(answer["data"])


def pages(pdf: bytes) -> int:
    assert pdf.startswith(b"%PDF")
    return len(re.findall(rb"/Type /Page\b", pdf))


@pytest.mark.parametrize(("name", "width"), [("desktop", 1280), ("phone", 360)])
def test_it_can_be_seen(opened: Any, name: str, width: int, tmp_path: Path) -> None:
    resize(opened, width)
    path = tmp_path / f"{name}.png"
    path.write_bytes(opened.get_screenshot_as_png())
    seen = np.asarray(Image.open(path).convert("L"))
    assert seen.shape == (800, width)
    assert seen.std() > 10
    assert 0.01 < (seen < 128).mean() < 0.5
