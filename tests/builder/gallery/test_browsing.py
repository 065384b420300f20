"""Looking for images in a gallery, by mouse and by keyboard, in a real browser."""

import re
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from builder.audit.pictures import Sealed

pytestmark = pytest.mark.slow


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
        page.go(place)
        assert page.found() == rows.sum() > 0, place
        for name, chip in zip(names, page.all("#chips button"), strict=True):
            assert re.search(rf"{name} {(rows & (label[name] == 1)).sum():,}$", chip.text)


def test_chips_choose_with_without_and_any_and_the_address_keeps_it(page: Any) -> None:
    chip = page.one("#chips button:nth-child(2)")
    every = page.found()
    counts = [every]
    for _ in range(3):
        chip.click()
        counts.append(page.found())
    assert counts[3] == every > counts[1] + counts[2] > 0  # some labels are unknown
    chip.click()
    address = page.browser.current_url
    assert "with=Edema" in unquote(address)
    page.browser.get("about:blank")
    page.browser.get(address)
    assert page.found() == counts[1]
    page.browser.back()
    page.browser.back()


def test_the_keyboard_leads_everywhere(page: Any) -> None:
    page.press("/")
    assert page.ask("document.activeElement.id") == "text"
    page.press("r", "e", "a", "l", "-")
    assert page.found() == 60
    page.press(Keys.ENTER)
    assert page.here() == [1, 1]
    columns = page.ask("+document.getElementById('grid').ariaColCount")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert page.here() == [2, 2]
    page.press(Keys.END)
    assert page.here() == [2, columns]
    page.press(Keys.HOME, Keys.ARROW_LEFT)
    assert page.here() == [1, columns]
    page.press(Keys.PAGE_DOWN)
    assert page.here()[0] == page.ask("+document.getElementById('grid').ariaRowCount")
    page.press(Keys.PAGE_UP, Keys.HOME)
    assert page.here() == [1, 1]
    assert page.ask("document.querySelectorAll('#grid [tabindex=\"0\"]').length") == 1
    page.press(Keys.ENTER)
    assert page.ask("document.getElementById('large').open")
    first = page.one("#details dd").text
    page.press(Keys.ARROW_RIGHT)
    assert page.one("#details dd").text != first
    page.press(Keys.ESCAPE)
    page.wait()
    assert not page.ask("document.getElementById('large').open")
    assert page.here() == [1, 2]


def test_real_images_stand_beside_synthetic_ones(page: Any) -> None:
    page.go("#beside=")
    kinds = page.ask(
        "[...document.querySelectorAll('[aria-rowindex=\"1\"] > *')].map(c => c.className)"
    )
    half = len(kinds) // 2
    assert all("synthetic" in kind for kind in kinds[:half])
    assert all("real" in kind for kind in kinds[half:])


def test_a_suspect_is_shown_with_what_it_may_copy(page: Any) -> None:
    page.go("#tab=audit")
    text = page.one("#audit").text
    assert "Three." in text
    assert "3 suspected copies of training images, 2 of them listed" in text
    page.go("#audit=copies&beside=")
    assert page.found() == 2
    rows = page.all("[role=row]")
    shown = [
        [cell.get_attribute("aria-label") or "" for cell in row.find_elements("css selector", "*")]
        for row in rows
    ]
    half = len(shown[0]) // 2
    assert [shown[0][0][:9], shown[0][half][:4]] == ["synthetic", "real"]  # the most similar
    assert [shown[0][1][:9], shown[0][half + 1]] == ["synthetic", ""]  # of an image elsewhere
    page.go("#audit=copies")
    said = []
    for tile in page.all("#grid .tile"):
        page.go(f"#audit=copies&open={tile.get_attribute('data-sample')}")
        suspect = page.one(".suspect")
        said.append((suspect.text, len(suspect.find_elements("css selector", "a.real"))))
    copy = "The audit says: this may be a copy of"
    assert sorted(said) == [
        (
            f"{copy} an image that is not in this folder (similarity 0.950, suspected from 0.900).",
            0,
        ),
        (f"{copy} the image below (similarity 0.990, suspected from 0.900).", 1),
    ]


def test_the_large_view_leads_to_alike_images_and_back_to_the_grid(page: Any) -> None:
    page.go("#origin=synthetic&size=256")
    page.browser.execute_script("document.querySelectorAll('#grid .tile')[3].click()")
    page.wait()
    page.one("#details .strip a.real").click()
    page.wait()
    assert page.one("#large-title").text.lower() == "real"
    page.press(Keys.ARROW_RIGHT)  # it is not among the images that are found
    assert page.one("#large-title").text.lower() == "real"
    page.browser.back()
    page.wait()
    assert page.one("#large-title").text.lower().startswith("synthetic for")
    page.one("#close").click()
    page.wait()
    assert not page.ask("document.getElementById('large').open")
    assert page.ask("document.activeElement.dataset.sample") == "3"
