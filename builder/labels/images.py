"""Names of images in a table, and the files below the root that they mean."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from builder.contract import UsageError, printable
from builder.labels.cells import refuse_cells

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
_NO_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "thumbnails", "thumbs")  # lower case
_ELSEWHERE = r"[A-Za-z][A-Za-z0-9+.-]*:[\\/]|[\\/]|~[\\/]"  # C:\x, \\server, /x, s3://x
_UP = r"(?:.*[\\/])?\.\.(?:[\\/]|$)"
_UNEVEN = r"\\|//|(?:^|/)\.(?:/|$)|/$"


def image_files(root: Path) -> list[str]:
    """The images below a folder, sorted: their paths from there, with slashes.

    Hidden files and folders, thumbnails and what macOS adds to archives are left out. Links are
    followed, each folder once.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [("", str(root))]
    while waiting:
        below, folder = waiting.pop()
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(SUFFIXES):
                    found.append(below + entry.name)
                elif entry.is_dir() and entry.name.lower() not in _NO_FOLDERS:
                    waiting.append((f"{below}{entry.name}/", entry.path))
    return sorted(found)


def normal_names(names: pd.Series, path: Path, column: str) -> pd.Series:
    """The names as paths below a folder: slashes for backslashes, without `.` and empty parts.

    `path` and `column` say where the names come from; the index numbers the table's rows. Raises
    UsageError for an absolute path, an address, or one that leads out by `..`.
    """
    names = names.astype("str").str.strip()
    absolute = names.str.match(_ELSEWHERE, na=False)
    refuse_cells(absolute, path, column, "is not a path below the image folder", names)
    up = names.str.match(_UP, na=False)
    refuse_cells(up, path, column, "leads out of the image folder", names)
    uneven = names.str.contains(_UNEVEN, na=False)
    if uneven.any():
        names = names.mask(uneven, names[uneven].map(_normal))
    return names.mask(names == ".")


def _normal(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/")))


def stem(name: str) -> str:
    """The last part of a path without the suffix of an image; a UID may have dots of its own."""
    last = name.rsplit("/", 1)[-1]
    for suffix in SUFFIXES:
        if last.lower().endswith(suffix):
            return last[: -len(suffix)]
    return last


def files_by_path(names: pd.Series, root: Path, path: Path) -> pd.Series:
    """The file below `root` of each name of `normal_names`; NaN where there is none.

    `path` is the table. Raises UsageError where no image exists.
    """
    there = pd.Series([(root / str(n)).is_file() for n in names], names.index)
    if not there.any():
        raise UsageError(no_images(names, root, path))
    return names.where(there)


def files_by_stem(names: pd.Series, root: Path, path: Path) -> pd.Series:
    """The file below `root` whose stem is that of each name; NaN where there is none.

    `path` is the table. Raises UsageError where no image exists, or two have a stem of the table.
    """
    stems = names.map(stem, na_action="ignore")
    wanted = set(stems)
    files: dict[str, str] = {}
    for file in image_files(root):
        if (key := stem(file)) in wanted and (other := files.setdefault(key, file)) != file:
            raise UsageError(
                f"Two files under {root} are the same image, {printable(other)} and "
                f"{printable(file)}: point --root at one copy."
            )
    if not files:
        raise UsageError(no_images(names, root, path))
    return stems.map(files)


def no_images(names: Iterable[str], root: Path, path: Path) -> str:
    """The sentence for a table none of whose images lies under `root`."""
    known = [name for name in names if isinstance(name, str)]
    return (
        f"None of the {len(known)} images of {path} lies under {root}; the first is "
        f"{printable(known[0])}: check --root."
    )
