"""The image files below a folder, without what file systems and archives add to them."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builder.contract.dicom import is_dicom
from builder.contract.errors import UsageError, printable

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
_NO_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "thumbnails", "thumbs")  # lower case
_THREADS = 16  # for asking whether files are links


def image_files(root: Path) -> list[str]:
    """The images below a folder, sorted: their paths from there, with slashes.

    They are known by their suffix in any case; DICOM files also without one, as archives export
    them. Hidden files and folders, thumbnails and what macOS adds are left out. Links are followed,
    each folder once. Raises UsageError for a folder that may not be read.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [("", root)]
    while waiting:
        below, folder = waiting.pop()
        try:
            status, entries = folder.stat(), [*os.scandir(folder)]
        except OSError as error:
            raise UsageError(f"Cannot read the folder {folder}: {error.strerror}.") from None
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.name.lower() not in _NO_FOLDERS:
                    waiting.append((f"{below}{entry.name}/", Path(entry.path)))
            elif entry.is_file() and _is_image(Path(entry.path)):
                found.append(below + entry.name)
    return sorted(found)


class Inside:
    """The folders in which the images of a dataset may lie, once all links are followed."""

    def __init__(self, root: Path, links_to: Iterable[Path] = ()) -> None:
        """`root`, and the folders that the user named besides."""
        self.places = tuple(f"{folder.resolve()}".rstrip("/") for folder in (root, *links_to))

    def __eq__(self, other: object) -> bool:
        """Whether the other's places are the same."""
        return isinstance(other, Inside) and self.places == other.places

    def __hash__(self) -> int:
        """By its places."""
        return hash(self.places)

    def holds(self, file: Path) -> bool:
        """Whether the file lies there."""
        real = os.path.realpath(file)
        return any(real == place or real.startswith(f"{place}/") for place in self.places)


def check_links(
    names: Sequence[str],
    root: Path,
    links_to: Sequence[Path] = (),
    advice: str = "allow it by --links-to {}, or name the real folder by --root",
) -> None:
    """Raise UsageError for the first of the files `names` below `root` that a link leads out of it.

    Links may lead to what lies below `root` and `links_to`. `advice` says what to do; {} stands for
    the folder that the link leads to.
    """
    folders: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    inside = Inside(root, links_to)
    with ThreadPoolExecutor(_THREADS) as threads:  # a network drive lets each one wait
        for some in (sorted(folders), names):
            links = threads.map(os.path.islink, (f"{root}/{name}" for name in some), chunksize=500)
            for name in (name for name, link in zip(some, links, strict=True) if link):
                if not inside.holds(root / name):
                    real = Path(os.path.realpath(root / name))
                    near = real if real.is_dir() else real.parent
                    raise UsageError(
                        f"{root / printable(name, 300)} is a link to {real}, which is not below "
                        f"the image folder: {advice.format(near)}."
                    )


def _is_image(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return True
    # IM0001, or a UID such as 1.2.840.10008; a DICOMDIR is the list of such files.
    bare = not suffix or suffix[1:].isdigit()
    return bare and file.name.upper() != "DICOMDIR" and _readable_dicom(file)


def _readable_dicom(file: Path) -> bool:
    try:
        return is_dicom(file)
    except OSError:  # the reader will say so of images; this may be none
        return False
