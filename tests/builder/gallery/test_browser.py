"""The gallery in a real browser, from disk: headless Chromium, as Debian packages it."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from builder.audit.pictures import Sealed, read_image
from builder.contract.audit import Audit
from builder.gallery.samples import samples_of
from builder.gallery.write import Gallery

pytestmark = pytest.mark.slow

# The page has taken up another address, and its images were drawn.
GO = """
const [hash, done] = arguments;
if ((location.hash || "#") === hash) return done();
addEventListener("hashchange", () => requestAnimationFrame(() => setTimeout(done)), {once: true});
location.hash = hash;
"""


@pytest.fixture(scope="module")
def folder(
    write: Callable[..., Gallery], audited: Audit, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write(tmp_path_factory.mktemp("view") / "gallery", audit=audited).page.parent


@pytest.fixture
def page(browser: Any, folder: Path) -> Any:
    """The gallery as it opens, in a window of 1280 pixels."""
    resize(browser, 1280)
    browser.get("about:blank")
    browser.get_log("browser")  # what another test left
    browser.get((folder / "index.html").as_uri())
    browser.execute_async_script("setTimeout(arguments[0], 100)")  # samples.js
    yield browser
    assert browser.get_log("browser") == []


def resize(browser: Any, width: int) -> None:
    how = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)


def ask(browser: Any, script: str, *arguments: Any) -> Any:
    return browser.execute_script(f"return {script}", *arguments)


def go(browser: Any, place: str) -> None:
    browser.execute_async_script(GO, place)


def press(browser: Any, *keys: str) -> None:
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def found(browser: Any) -> int:
    text = browser.find_element("id", "status").text
    return int(text.split(" of ")[0].replace(",", ""))


def here(browser: Any) -> list[int]:
    """Row and column of the thumbnail with the focus, from 1."""
    cell = "document.activeElement"
    numbers = f"[{cell}.parentElement.ariaRowIndex, {cell}.ariaColIndex]"
    return [int(each) for each in ask(browser, numbers)]


def test_it_asks_for_nothing_but_files_of_its_own_folder(
    browser: Any, requested: Callable[[], list[str]], folder: Path
) -> None:
    requested()
    page = browser
    page.get((folder / "index.html").as_uri())
    assert page.title == "gan100: gallery"
    go(page, "#tab=labels")
    go(page, "#open=3")
    asked = {address.partition("#")[0] for address in requested()}
    files = {path.as_uri() for path in folder.rglob("*.*")} - {(folder / "README.txt").as_uri()}
    assert asked == files


def test_its_policy_stops_what_got_in(page: Any) -> None:
    page.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'window.ran = true'; document.body.append(script);"
        "const image = new Image(); image.src = 'http://127.0.0.1:9/x.png';"
    )
    assert ask(page, "window.ran") is None
    said = " ".join(entry["message"] for entry in page.get_log("browser"))
    assert said.count("Content Security Policy") >= 2


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize(
    "place", ["#", "#beside=&size=96", "#text=nothing-is-like-this", "#tab=labels", "#tab=guess",
              "#tab=audit", "#tab=about", "#open=0"]
)  # fmt: skip
def test_everybody_can_use_it(
    page: Any, barriers: Callable[[], list[str]], place: str, width: int
) -> None:
    resize(page, width)
    go(page, place)
    assert barriers() == []
    assert ask(page, "document.documentElement.scrollWidth") <= width


def test_filters_find_what_the_index_says(page: Any, opened: Sealed) -> None:
    index, names = opened.index, opened.manifest.pathologies
    real, label = index.origin == "real", dict(zip(names, index.labels.T, strict=True))
    wanted = {
        "#": np.ones(len(index), bool),
        "#origin=real&split=train": real & (index.split == "train"),
        "#target=Mass": index.target == "Mass",
        "#with=Edema": label["Edema"] == 1,
        "#with=Mass%7CEdema": (label["Mass"] == 1) & (label["Edema"] == 1),
        "#without=Edema&origin=real": (label["Edema"] == 0) & real,
        "#text=real-": np.array(["real-" in key for key in index.key]),
        "#text=pleural": (label["Pleural_Thickening"] == 1)
        | np.array(["pleural" in key for key in index.key]),
        "#audit=copies": np.isin(np.arange(len(index)), np.flatnonzero(~real)[:2]),
    }
    for place, rows in wanted.items():
        go(page, place)
        assert found(page) == rows.sum() > 0, place
        for name, chip in zip(
            names, page.find_elements("css selector", "#chips button"), strict=True
        ):
            assert re.search(rf"{name} {(rows & (label[name] == 1)).sum():,}$", chip.text)


def test_a_thumbnail_is_the_image_of_its_sample(page: Any, opened: Sealed) -> None:
    """The pixels on the screen, against those that were sealed."""
    rows = samples_of(opened, synthetic_only=False)
    go(page, f"#open={len(rows) - 1}")
    key = page.find_element("css selector", "#details dd").text
    assert key == opened.index.key[rows[-1]]
    shot = page.find_element("id", "picture").screenshot_as_png
    with Image.open(io.BytesIO(shot)) as picture:
        seen = picture.convert("L").crop((0, 0, picture.width, picture.height - 4))
        small = np.asarray(seen.resize((8, 8), Image.Resampling.BOX), float)
    shapes = [read_image(opened, int(row)).reshape(8, 4, 8, 4).mean((1, 3)) for row in rows]
    distances = [np.abs(small - shape).mean() for shape in shapes]
    assert int(np.argmin(distances)) == len(rows) - 1


def test_chips_choose_with_without_and_any_and_the_address_keeps_it(page: Any) -> None:
    chip = page.find_element("css selector", "#chips button:nth-child(2)")
    every = found(page)
    counts = [every]
    for _ in range(3):
        chip.click()
        counts.append(found(page))
    assert counts[3] == every > counts[1] + counts[2] > 0  # some labels are unknown
    chip.click()
    address = page.current_url
    assert "with=Edema" in unquote(address)
    page.get("about:blank")
    page.get(address)
    assert found(page) == counts[1]
    page.back()
    page.back()


def test_the_keyboard_leads_everywhere(page: Any) -> None:
    press(page, "/")
    assert ask(page, "document.activeElement.id") == "text"
    press(page, "r", "e", "a", "l", "-")
    assert found(page) == 60
    press(page, Keys.ENTER)
    assert here(page) == [1, 1]
    columns = ask(page, "+document.getElementById('grid').ariaColCount")
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert here(page) == [2, 2]
    press(page, Keys.END)
    assert here(page) == [2, columns]
    press(page, Keys.HOME, Keys.ARROW_LEFT)
    assert here(page) == [1, columns]
    press(page, Keys.PAGE_DOWN)
    assert here(page)[0] == ask(page, "+document.getElementById('grid').ariaRowCount")
    press(page, Keys.PAGE_UP, Keys.HOME)
    assert here(page) == [1, 1]
    assert ask(page, "document.querySelectorAll('#grid [tabindex=\"0\"]').length") == 1
    press(page, Keys.ENTER)
    assert ask(page, "document.getElementById('large').open")
    first = page.find_element("css selector", "#details dd").text
    press(page, Keys.ARROW_RIGHT)
    assert page.find_element("css selector", "#details dd").text != first
    press(page, Keys.ESCAPE)
    page.execute_async_script("setTimeout(arguments[0], 50)")
    assert not ask(page, "document.getElementById('large').open")
    assert here(page) == [1, 2]


def test_only_what_is_near_the_window_is_in_the_page(page: Any) -> None:
    go(page, "#size=256")
    rows = ask(page, "+document.getElementById('grid').ariaRowCount")
    drawn = "document.querySelectorAll('[role=row]').length"
    assert ask(page, drawn) < rows
    page.execute_script("scrollTo(0, document.body.scrollHeight)")
    page.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    last = ask(
        page, "Math.max(...[...document.querySelectorAll('[role=row]')].map(r => r.ariaRowIndex))"
    )
    assert last == rows
    assert ask(page, drawn) < rows


def test_real_images_stand_beside_synthetic_ones(page: Any) -> None:
    go(page, "#beside=")
    kinds = ask(
        page, "[...document.querySelectorAll('[aria-rowindex=\"1\"] > *')].map(c => c.className)"
    )
    half = len(kinds) // 2
    assert all("synthetic" in kind for kind in kinds[:half])
    assert all("real" in kind for kind in kinds[half:])


def test_a_suspect_is_shown_with_what_it_may_copy(page: Any) -> None:
    go(page, "#tab=audit")
    text = page.find_element("id", "audit").text
    assert "Three." in text
    assert "3 suspected copies of training images, 2 of them listed" in text
    go(page, "#audit=copies")
    assert found(page) == 2
    said = []
    for tile in page.find_elements("css selector", "#grid .tile"):
        go(page, f"#audit=copies&open={tile.get_attribute('data-sample')}")
        suspect = page.find_element("css selector", ".suspect")
        said.append((suspect.text, len(suspect.find_elements("css selector", "a.real"))))
    near = "The audit: It may be a copy of"
    assert sorted(said) == [
        (f"{near} (similarity 0.990).", 1),
        (f"{near} an image that is not in this folder (similarity 0.950).", 0),
    ]


def test_prevalence_and_pairs_lead_to_their_images(page: Any, opened: Sealed) -> None:
    go(page, "#tab=labels")
    train = opened.index.split == "train"
    mass = train & (opened.index.labels[:, 0] == 1)
    row = page.find_element("css selector", ".prevalence tbody tr").text
    assert f"{mass.sum()} (" in row
    assert f"{(mass & (opened.index.origin == 'real')).sum()} (" in row
    assert page.find_element("css selector", ".pairs .self").text == str(mass.sum())
    page.find_element("css selector", ".prevalence a").click()
    assert found(page) == (opened.index.labels[:, 0] == 1).sum()


def test_a_guess_is_answered_and_counted(page: Any) -> None:
    go(page, "#tab=guess")
    origin = ask(page, "word('origin', riddle.sample)")
    press(page, origin[0])
    page.find_element("id", "say-real").click()
    text = page.find_element("id", "answer").text
    assert re.search(r"[12] of 2 right", text)


def test_it_prints_what_was_found(page: Any) -> None:
    go(page, "#origin=real")
    answer = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    pdf = base64.b64decode(answer["data"])
    assert 1 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 3
    assert len(pdf) > 30_000  # the images are on it
