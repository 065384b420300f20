"""How long a gallery of 300,000 images takes to open and to filter, in a real Chromium.

    python benchmarks/gallery.py [--images 300000] [--pictures gan10.json]

Labels are drawn with the prevalences of CheXpert's. The sheets are copies of one of noise, which is
larger than those of radiographs; with --pictures they are drawn from the images of that dataset, as
often as it takes, and the time and memory of that are told. Needs Debian's chromium-driver and
selenium.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from builder.audit.pictures import Sealed, open_sealed
from builder.contract import Index, load_manifest
from builder.gallery.data import data_of, names_of, script
from builder.gallery.samples import samples_of
from builder.gallery.sheets import QUALITY, tiling, write_sheets
from builder.gallery.write import page_files
from builder.progress import progress

ROOT = Path(__file__).parents[1]
SHARES = (0.10, 0.10, 0.13, 0.50, 0.05, 0.27, 0.19, 0.11, 0.30, 0.10, 0.42, 0.03, 0.04, 0.55)
FILTERS = {
    "one origin": "#origin=synthetic",
    "one pathology": "#with=Fracture",
    "two, and one absent": "#with=Edema|Pneumonia&without=Cardiomegaly&origin=real",
    "real beside synthetic": "#with=Fracture&beside=",
    "part of a key": "#text=real-00",
    "all": "#",
}
OPENED = """
const done = arguments[arguments.length - 1];
const shown = [...document.querySelectorAll(".tile")].map(e => e.style.backgroundImage);
const sheets = [...new Set(shown)].map(url => url.slice(5, -2));
Promise.all(sheets.map(src => { const i = new Image(); i.src = src; return i.decode(); }))
  .then(() => done([performance.now(), sheets.length]));
"""
FILTERED = """
const [hash, done] = arguments, start = performance.now();
const tell = () => done([performance.now() - start, document.getElementById("status").textContent]);
addEventListener("hashchange", () => requestAnimationFrame(() => setTimeout(tell)), {once: true});
location.hash = hash;
"""


def sealed_of(images: int) -> Sealed:
    """A dataset of so many images, a third of them synthetic, that lies nowhere on disk."""
    own = load_manifest(ROOT / "manifests" / "gan10.json")
    manifest = replace(own, image=replace(own.image, height=64, width=64))
    rng = np.random.default_rng(0)
    labels = (rng.random((images, len(SHARES))) < SHARES).astype(np.int8)
    synthetic = np.arange(images) >= 2 * images // 3
    target = np.where(synthetic, rng.choice(np.array(own.targets, object), images), "")
    for place, name in enumerate(own.pathologies):
        labels[target == name, place] = 1
    numbers = rng.permutation(images)
    index = Index(
        key=np.array(
            [
                f"gan10-{n:07d}" if s else f"real-{n:016x}"
                for n, s in zip(numbers, synthetic, strict=True)
            ],
            object,
        ),
        split=np.full(images, "train", object),
        origin=np.where(synthetic, "synthetic", "real").astype(object),
        shard=np.full(images, "", object),
        offset=np.zeros(images, np.int64),
        size=np.zeros(images, np.int32),
        labels=labels,
        target=target.astype(object),
        draw=np.where(synthetic, numbers, -1),
        patient=np.full(images, "", object),
        view=rng.choice(np.array(["ap", "pa", "lateral"], object), images),
        sex=rng.choice(np.array(["female", "male"], object), images),
        age=np.full(images, "", object),
        sketch=np.empty((images, 0), np.uint8),
    )
    return Sealed(manifest=manifest, root=ROOT, index=index)


def draw(folder: Path, images: int, manifest: Path) -> None:
    """The sheets of so many images, which are those of a sealed dataset again and again."""
    sealed = open_sealed(manifest)
    rows = np.resize(samples_of(sealed, synthetic_only=False), images)
    layout = tiling(sealed.manifest.image, images)
    start = time.perf_counter()
    sheets = write_sheets(sealed, rows, layout, folder / "sheets", progress)
    took, size = time.perf_counter() - start, sum(path.stat().st_size for path in sheets)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"drew {images:,} images into {len(sheets):,} sheets of {size / 2**20:,.0f} MiB ", end="")
    print(f"in {took:,.0f} s; at most {memory:,.0f} MiB of memory")


def write(folder: Path, images: int, pictures: Path | None) -> None:
    """The gallery of such a dataset."""
    import simplejpeg

    sealed = sealed_of(images)
    rows = samples_of(sealed, synthetic_only=False)
    layout = tiling(sealed.manifest.image, images)
    folder.mkdir(parents=True)
    for path in page_files():
        shutil.copy(path, folder)
    (folder / "data.js").write_bytes(script("GALLERY", data_of(sealed, rows, layout, None)))
    (folder / "samples.js").write_bytes(script("SAMPLES", names_of(sealed, rows)))
    if pictures is None:
        (folder / "sheets").mkdir()
        coarse = np.random.default_rng(1).normal(120, 60, (256, 256)).repeat(4, 0).repeat(4, 1)
        fine = np.random.default_rng(2).normal(0, 6, (1024, 1024))
        sheet = np.clip(coarse + fine, 0, 255).astype(np.uint8)[:, :, None]
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(sheet), QUALITY, "GRAY", "GRAY")
        for number in range(-(-images // layout.tiles)):
            (folder / "sheets" / f"{number:04d}.jpg").write_bytes(data)
    else:
        draw(folder, images, pictures)
    size = (folder / "data.js").stat().st_size, (folder / "samples.js").stat().st_size
    print(f"{images:,} images, ", end="")
    print("data.js {:,} bytes, samples.js {:,} bytes".format(*size))


def chromium() -> Any:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    return webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))


def measure(browser: Any, page: Path, say: Callable[[str], None]) -> None:
    """Median and worst of five openings, then of five rounds of filters."""
    opened = []
    for _ in range(5):
        browser.get("about:blank")
        browser.get(page.as_uri())
        milliseconds, sheets = browser.execute_async_script(OPENED)
        opened.append(milliseconds)
    say(
        f"opened, {sheets} sheets decoded: {np.median(opened):,.0f} ms (at most {max(opened):,.0f})"
    )
    time.sleep(2)  # samples.js
    times: dict[str, list[float]] = {name: [] for name in FILTERS}
    for _ in range(5):
        for name, place in FILTERS.items():
            milliseconds, found = browser.execute_async_script(FILTERED, place)
            times[name].append(milliseconds)
            if len(times[name]) == 1:
                say(f"  {place} finds {found}")
    browser.execute_async_script(FILTERED, "#text=0123")
    start = time.perf_counter()
    _, sheets = browser.execute_async_script(OPENED)
    took = 1000 * (time.perf_counter() - start)
    say(f"images of #text=0123, scattered over {sheets} sheets: all decoded {took:,.0f} ms later")
    for name, each in times.items():
        say(f"filtered by {name}: {np.median(each):.0f} ms (at most {max(each):.0f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300_000)
    parser.add_argument("--pictures", type=Path, help="Manifest of a dataset of 64 pixels.")
    parser.add_argument("--keep", type=Path, help="Folder to write, which stays.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch) / "gallery"
        write(folder, asked.images, asked.pictures)
        browser = chromium()
        try:
            measure(browser, folder / "index.html", print)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
