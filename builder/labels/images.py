"""Names of images in a table, and the files below the root that they mean."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from stat import S_ISREG

import numpy as np
import pandas as pd

from builder.contract import UsageError, printable
from builder.contract.folder import SUFFIXES, check_links, image_files
from builder.labels.cells import refuse_cells
from builder.labels.missing_images import why_none

_ELSEWHERE = r"[A-Za-z][A-Za-z0-9+.-]*:[\\/]|[\\/]|~[\\/]"  # C:\x, \\server, /x, s3://x
_UP = r"(?:^|[\\/])\.\.(?:[\\/]|$)"
_CONTROL = r"[\x00-\x1f\x7f]"  # line breaks, too
_OUT = "leads out of the image folder: write the path below what --root names"
# What all of these, and uneven names, have.
_ODD = r"\\|:|//|^[/~]|(?:^|/)\.{1,2}(?:/|$)|/$|^$|[\x00-\x1f\x7f]"
_THREADS, _BATCH = 16, 500  # for asking whether files exist
_FIRST = 20  # rows whose files are looked for before any is read


def normal_names(names: pd.Series, path: Path, column: str) -> pd.Series:
    """The names as paths below a folder: slashes for backslashes, without `.` and empty parts.

    `path` and `column` say where the names come from; the index numbers the table's rows. Raises
    UsageError for an absolute path, an address, a line break, or a path that leads out by `..`.
    """
    names = names.astype("str").str.strip()
    which = np.flatnonzero(names.str.contains(_ODD, na=False))
    if not len(which):
        return names
    odd = names.iloc[which]
    broken = odd.str.contains(_CONTROL)
    refuse_cells(broken, path, column, "has a line break or another control character", odd)
    absolute = odd.str.match(_ELSEWHERE)
    refuse_cells(
        absolute,
        path,
        column,
        "is no path below the image folder, but a full path or an address: leave out what --root "
        "names",
        odd,
    )
    refuse_cells(odd.str.contains(_UP), path, column, _OUT, odd)
    names = names.copy()
    names.iloc[which] = odd.map(_normal)
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
    there = pd.Series([which is not None for which in _identities(names, root)], names.index)
    if not there.any():
        raise UsageError(no_images(names, root, path))
    return names.where(there)


def files_by_stem(names: pd.Series, root: Path, path: Path) -> pd.Series:
    """The file below `root` whose stem is that of each name; NaN where there is none.

    `path` is the table. Raises UsageError where no image exists, or two have a stem of the table,
    or a folder of one has a name that is not UTF-8.
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
    check_utf8(files.values(), root)
    return stems.map(files)


def check_utf8(names: Iterable[str], root: Path) -> None:
    """Raise UsageError for a name of bytes that are no text: it cannot be hashed as others are."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = printable(name, 200)
            raise UsageError(f"{root} has a name that is not UTF-8, {shown}: rename it.") from None


def check_first_files(names: pd.Series, root: Path, path: Path) -> None:
    """Raise UsageError where no image of the table exists; quick where one of the first does."""
    if not any(_identities(names[:_FIRST], root)) and not any(_identities(names, root)):
        raise UsageError(no_images(names, root, path))


def check_files(names: pd.Series, root: Path, path: Path, links_to: Sequence[Path] = ()) -> None:
    """Raise UsageError where no image of the table exists, or two of its names are one file.

    Names are one file by a link, or on a disk that does not tell capitals apart. Links may lead to
    what lies below `root` and `links_to`, and nowhere else.
    """
    known: dict[tuple[int, int], str] = {}
    for name, which in zip(names, _identities(names, root), strict=True):
        if which is not None and (other := known.setdefault(which, name)) is not name:
            raise UsageError(
                f"{path} names one image twice: {printable(other)} and {printable(name)} are the "
                f"same file under {root} (a link, or a disk that ignores capitals): delete a row."
            )
    if not known:
        raise UsageError(no_images(names, root, path))
    check_links(list(known.values()), root, links_to)


def _identities(names: pd.Series, root: Path) -> list[tuple[int, int] | None]:
    """Device and inode of each file below `root`; None where there is none.

    Many are asked for at once, because a network drive lets each one wait.
    """

    def ask(some: Sequence[object]) -> list[tuple[int, int] | None]:
        return [_identity(f"{root}/{name}") for name in some]

    known = names.tolist()
    batches = [known[start : start + _BATCH] for start in range(0, len(known), _BATCH)]
    with ThreadPoolExecutor(_THREADS) as threads:
        return [which for batch in threads.map(ask, batches) for which in batch]


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path takes four times as long
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if S_ISREG(status.st_mode) else None


def no_images(names: pd.Series, root: Path, path: Path) -> str:
    """The sentence for a table none of whose images lies under `root`, with the likely cause."""
    return why_none(names.dropna().tolist(), image_files(root), root=root, path=path)
