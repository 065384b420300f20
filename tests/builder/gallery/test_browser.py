"""The gallery in a real browser, from disk: headless Chromium, as Debian packages it."""

import base64
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builder.audit.pictures import Sealed, read_image
from builder.contract import Index
from builder.gallery.data import data_of, names_of, script
from builder.gallery.samples import samples_of
from builder.gallery.sheets import tiling

pytestmark = pytest.mark.slow


def test_it_asks_for_nothing_but_files_of_its_own_folder(
    page: Any, requested: Callable[[], list[str]], folder: Path
) -> None:
    requested()
    page.open(folder)
    assert page.browser.title == "gan100: gallery"
    page.go("#tab=labels")
    page.go("#open=3")
    asked = {address.partition("#")[0] for address in requested()}
    files = {path.as_uri() for path in folder.rglob("*.*")} - {(folder / "README.txt").as_uri()}
    assert asked == files


def test_its_policy_stops_what_got_in(page: Any) -> None:
    page.browser.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'window.ran = true'; document.body.append(script);"
        "const image = new Image(); image.src = 'http://127.0.0.1:9/x.png';"
    )
    assert page.ask("window.ran") is None
    said = " ".join(entry["message"] for entry in page.browser.get_log("browser"))
    assert said.count("Content Security Policy") >= 2


@pytest.mark.parametrize(("width", "theme"), [(360, "dark"), (1280, "light")])
def test_everybody_can_use_it(
    page: Any, barriers: Callable[[], list[str]], width: int, theme: str
) -> None:
    page.resize(width)
    page.paint(theme)
    tabs = ("#tab=labels", "#tab=guess", "#tab=audit", "#tab=about")
    for place in ("#", "#beside=&size=96", "#text=nothing-is-like-this", *tabs, "#open=0"):
        page.go(place)
        assert barriers() == [], place
        assert page.ask("document.documentElement.scrollWidth") <= width, place


def test_a_thumbnail_is_the_image_of_its_sample(page: Any, opened: Sealed) -> None:
    """The pixels on the screen, against those that were sealed."""
    rows = samples_of(opened, synthetic_only=False)
    page.go(f"#open={len(rows) - 1}")
    key = page.one("#details dd").text
    assert key == opened.index.key[rows[-1]]
    shot = page.one("#picture").screenshot_as_png
    with Image.open(io.BytesIO(shot)) as picture:
        seen = picture.convert("L").crop((0, 0, picture.width, picture.height - 4))
        small = np.asarray(seen.resize((8, 8), Image.Resampling.BOX), float)
    shapes = [read_image(opened, int(row)).reshape(8, 4, 8, 4).mean((1, 3)) for row in rows]
    distances = [np.abs(small - shape).mean() for shape in shapes]
    assert int(np.argmin(distances)) == len(rows) - 1


def test_only_what_is_near_the_window_is_in_the_page(page: Any) -> None:
    page.go("#size=256")
    rows = page.ask("+document.getElementById('grid').ariaRowCount")
    drawn = "document.querySelectorAll('[role=row]').length"
    assert page.ask(drawn) < rows
    page.browser.execute_script("scrollTo(0, document.body.scrollHeight)")
    page.wait()
    last = page.ask(
        "Math.max(...[...document.querySelectorAll('[role=row]')].map(r => r.ariaRowIndex))"
    )
    assert last == rows
    assert page.ask(drawn) < rows


def test_prevalence_and_pairs_lead_to_their_images(page: Any, opened: Sealed) -> None:
    page.go("#tab=labels")
    train = opened.index.split == "train"
    mass = train & (opened.index.labels[:, 0] == 1)
    row = page.one(".prevalence tbody tr").text
    assert f"{mass.sum()} (" in row
    assert f"{(mass & (opened.index.origin == 'real')).sum()} (" in row
    assert page.one(".pairs .self").text == str(mass.sum())
    page.one(".prevalence a").click()
    assert page.found() == (opened.index.labels[:, 0] == 1).sum()


def test_a_guess_is_answered_and_counted(page: Any) -> None:
    page.go("#tab=guess")
    origin = page.ask("word('origin', riddle.sample)")
    page.press(origin[0])
    page.one("#say-real").click()
    text = page.one("#answer").text
    assert re.search(r"[12] of 2 right", text)


def test_it_prints_what_was_found(page: Any) -> None:
    page.go("#origin=real")
    answer = page.browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    pdf = base64.b64decode(answer["data"])
    assert 1 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 3
    assert len(pdf) > 30_000  # the images are on it


def test_real_images_alone_and_a_single_one_have_their_gallery(
    page: Any, opened: Sealed, write: Callable[..., Any], tmp_path: Path
) -> None:
    """Nothing is said of synthetic images that are not there, and nobody has to guess."""
    real = np.flatnonzero(opened.index.origin == "real")
    held_out = np.flatnonzero((opened.index.origin == "real") & (opened.index.split != "train"))
    fake = np.flatnonzero(opened.index.origin == "synthetic")
    for name, rows, choices in (
        ("real", real, ["real images alone"]),
        ("one", real[opened.index.split[real] == "train"][:1], ["real images alone"]),
        ("none for training", np.append(fake, held_out), ["synthetic images alone"]),
    ):
        index = Index(**{each: getattr(opened.index, each)[rows] for each in Index.__slots__})
        write(tmp_path / name, sealed=replace(opened, index=index))
        page.open(tmp_path / name)
        assert page.found() == len(rows)
        tabs = [link.text for link in page.all("nav a") if link.is_displayed()]
        assert tabs == ["Images", "Labels", "About"]
        page.go("#tab=labels")
        assert [button.text for button in page.all(".choice button")] == choices


def test_many_images_open_and_filter_fast(
    page: Any, folder: Path, opened: Sealed, tmp_path: Path
) -> None:
    """30,000 of them; benchmarks/gallery.py measures 300,000."""
    times, index = 30_000 // len(opened.index) + 1, opened.index
    many = {name: np.concatenate([getattr(index, name)] * times) for name in index.__slots__}
    many["key"] = np.array([f"{key}-{place}" for place, key in enumerate(many["key"])], object)
    sealed = replace(opened, index=Index(**many))
    rows = samples_of(sealed, synthetic_only=False)
    layout = tiling(opened.manifest.image, len(rows))
    shutil.copytree(folder, tmp_path / "many")
    (tmp_path / "many" / "data.js").write_bytes(
        script("GALLERY", data_of(sealed, rows, layout, None))
    )
    (tmp_path / "many" / "samples.js").write_bytes(script("SAMPLES", names_of(sealed, rows)))
    for number in range(1, -(-len(rows) // layout.tiles)):
        sheets = tmp_path / "many" / "sheets"
        shutil.copy(sheets / "0000.jpg", sheets / f"{number:04d}.jpg")
    page.open(tmp_path / "many")
    assert page.ask("performance.now()") < 2000
    assert page.found() == len(rows) >= 30_000
    places = ["#with=Edema", "#origin=real&without=Mass", "#beside=", "#target=Mass", "#"]
    took = sorted(page.go(place) for place in places)
    assert took[1] < 100  # the machine may have other work
