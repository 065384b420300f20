"""A sealed dataset → the folder of its gallery: complete or absent, and nothing else in its place.

index.html, *.css, *.js    the page, the same in every gallery
data.js, samples.js        what it shows
sheets/0000.jpg …          thumbnails
README.txt                 what this is, and whether it may be passed on
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from builder.audit.pictures import Sealed
from builder.contract import UsageError
from builder.contract.audit import Audit
from builder.contract.lock import LOCK, hold
from builder.contract.new_file import refuse_link
from builder.gallery.data import Data, data_of, names_of, script
from builder.gallery.samples import samples_of
from builder.gallery.sheets import tiling, write_sheets
from builder.progress import Progress

PAGE = "index.html"
SHEETS = "sheets"
README = "README.txt"
MARK = '<meta name="generator" content="xbuild view">'  # in the page: the folder is a gallery
KEEP = "It holds images of patients: keep it where these images may be, and do not pass it on."

_DATA = ("data.js", "samples.js", README)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A gallery on disk."""

    page: Path
    images: int
    side: int  # pixels of a thumbnail's longer side
    bytes: int
    real: bool  # it holds images of patients


def write_gallery(
    sealed: Sealed,
    folder: Path,
    *,
    audit: Audit | None,
    synthetic_only: bool,
    side: int | None,
    show: Progress,
) -> Gallery:
    """Write the gallery of a dataset, in place of an older gallery in `folder`.

    `audit` is of this dataset; `side` of a thumbnail as in `sheets.tiling`. UsageError where the
    folder holds anything that no gallery has, or where another process is writing it.
    """
    check_place(folder)
    rows = samples_of(sealed, synthetic_only=synthetic_only)
    layout = tiling(sealed.manifest.image, len(rows), side)
    data = data_of(sealed, rows, layout, audit)
    with _replaced(folder) as inner:
        sheets = write_sheets(sealed, rows, layout, inner / SHEETS, show)
        texts = {path.name: path.read_bytes() for path in page_files()}
        texts |= {
            "data.js": script("GALLERY", data),
            "samples.js": script("SAMPLES", names_of(sealed, rows)),
            README: _readme(data).encode(),
        }
        for name, content in texts.items():
            (inner / name).write_bytes(content)
        size = sum(map(len, texts.values())) + sum(path.stat().st_size for path in sheets)
    return Gallery(
        page=folder / PAGE,
        images=len(rows),
        side=max(layout.width, layout.height),
        bytes=size,
        real=data.real,
    )


def page_files() -> list[Path]:
    """The files of the page, as they are in the package."""
    folder = Path(str(files("builder.gallery"))) / "page"
    return sorted(path for path in folder.iterdir() if path.suffix in (".html", ".css", ".js"))


def check_place(folder: Path) -> None:
    """Raise UsageError unless a gallery may be written there: nothing is, or a gallery alone."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if folder.resolve() == Path.cwd():
        raise UsageError(f"{folder.resolve()} is the folder that you are in: name one by --out.")
    page = folder / PAGE
    if not page.is_file() or MARK not in page.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(f"{folder} is there and is no gallery: name a new folder by --out.")
    own = {path.name for path in page_files()} | {*_DATA, SHEETS}
    inside = [path for path in folder.iterdir() if path.name not in own]
    inside += [path for path in (folder / SHEETS).glob("*") if path.suffix != ".jpg"]
    if inside:
        raise UsageError(
            f"{inside[0]} is no part of a gallery, and {folder} would be replaced: move that file, "
            "or name a new folder by --out."
        )


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `folder` once the block has ended well."""
    folder = folder.resolve()
    inner, old = (folder.with_name(f".{folder.name}.{word}") for word in ("unfinished", "old"))
    refuse_link(inner)
    refuse_link(old)
    with hold(inner, wait=None) as mine:
        if not mine:
            raise UsageError(f"Another xbuild view is writing {folder}: wait for it.")
        try:
            _clear(inner)  # what a killed one left
            yield inner
            (inner / LOCK).unlink()
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)  # of a process that was killed at the end
                folder.rename(old)
            inner.rename(folder)
        finally:
            shutil.rmtree(inner, ignore_errors=True)
            if folder.exists():  # otherwise the older gallery is all there is
                shutil.rmtree(old, ignore_errors=True)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _readme(data: Data) -> str:
    """What somebody reads who finds the folder."""
    may = KEEP
    if not data.real:
        also = " and drawings" if data.demo else ""
        may = f"It holds synthetic images{also}, and no image of a patient."
    return (
        f"Gallery of {data.name} ({data.count:,} images), made by xbuild view.\n"
        f"Open {PAGE} in a browser.\n{may}\n"
    )
