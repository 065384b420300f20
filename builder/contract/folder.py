"""The image files below a folder, without what file systems and archives add to them."""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from builder.contract.dicom import is_dicom
from builder.contract.errors import UsageError, printable

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
_NO_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "thumbnails", "thumbs")  # lower case
_NO_FILES = ("thumbs.db", "desktop.ini")
_THREADS = 16  # for asking whether files are links


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies below a folder: paths from there, with slashes, sorted."""

    images: list[str]
    others: list[str]  # files that are no images
    again: list[str]  # links to folders that were walked by another name, and are passed over


def image_files(root: Path) -> list[str]:
    """The images below a folder, sorted: their paths from there, with slashes, as by `walk`."""
    return walk(root).images


def walk(root: Path) -> Found:
    """The files below a folder.

    Images are known by their suffix in any case; DICOM files also without one, as archives export
    them. Hidden files and folders, thumbnails and what macOS and Windows add are left out. Links
    are followed, each folder once, and by its own name if it has one below the root: nothing
    depends on the order in which a disk lists. Raises UsageError for a folder that may not be read.
    """
    images: list[str] = []
    others: list[str] = []
    again: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting, links = [("", root)], deque[tuple[str, Path]]()
    while waiting or links:
        below, folder = waiting.pop() if waiting else links.popleft()
        try:
            status, entries = folder.stat(), sorted(os.scandir(folder), key=_name)
        except OSError as error:
            raise UsageError(f"Cannot read the folder {folder}: {error.strerror}.") from None
        if (status.st_dev, status.st_ino) in seen:
            again.append(below.rstrip("/"))
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.name.lower() not in _NO_FOLDERS:
                    later = links if entry.is_symlink() else waiting
                    later.append((f"{below}{entry.name}/", Path(entry.path)))
            elif entry.is_file():
                if _is_image(Path(entry.path)):
                    images.append(below + entry.name)
                elif entry.name.lower() not in _NO_FILES:
                    others.append(below + entry.name)
    return Found(images=sorted(images), others=sorted(others), again=sorted(again))


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


def _name(entry: "os.DirEntry[str]") -> str:
    return entry.name


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
