"""Why none of a table's images lies under the root → one sentence with the likely cause."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from builder.contract import printable

_TRIED = 50  # images of the table that are looked for by their stems
_BY_STEM = "--dataset table finds them by --match stem"


def why_none(names: Sequence[str], files: Sequence[str], *, root: Path, path: Path) -> str:
    """The sentence for the images `names` of the table `path`, when only `files` are there."""
    said = f"None of the {len(names):,} images of {path} lies under {root}"
    if not names:
        return f"{said}, since it names none."
    return f"{said}; the first is {printable(names[0], 200)} ({_cause(names, files, root, path)})."


def _cause(names: Sequence[str], files: Sequence[str], root: Path, path: Path) -> str:
    by_stem: dict[str, str] = {}
    for file in files:
        by_stem.setdefault(_key(PurePosixPath(file).stem), file)
    found: dict[str, str] = {}
    for name in names[:_TRIED]:
        last = PurePosixPath(name)
        for key in (last.stem, last.name):  # a name without suffix may have dots of its own
            if _key(key) in by_stem:
                found.setdefault(name, by_stem[_key(key)])
    if found:
        folders = {f.removesuffix(name) for name, f in found.items() if f.endswith(f"/{name}")}
        if len(folders) > 1:
            some = printable(" and ".join(sorted(folders)[:2]), 200)
            return f"images of it are in several folders, such as {some}: {_BY_STEM}"
        return _difference(*next(iter(found.items())), root)
    for folder in (path.parent, *root.absolute().parents[:3]):
        if _is_file(folder / names[0]):
            return f"it lies under {folder}: use --root {folder}"
    if not files:
        return "there is no PNG, JPEG, TIFF or DICOM file: check --root"
    return f"no file there has that name, the first one is {printable(files[0], 200)}: check --root"


def _difference(name: str, file: str, root: Path) -> str:
    """How the table's `name` and the path of the same image differ, and what to do."""
    last = PurePosixPath(name)
    there = f"{printable(name, 200)} is there as {printable(file, 200)}"
    if _key(file) == _key(name):
        return f"{there}: capitals or accents are written differently"
    if file.endswith(f"/{name}"):
        return f"use --root {root / file.removesuffix(name)}"
    if name.endswith(f"/{file}"):
        prefix = name.removesuffix(f"/{file}")
        for folder in (root, *root.absolute().parents):
            if _is_file(folder / name):
                return f"use --root {folder}"
        return f"{there}: without {printable(prefix)}/; {_BY_STEM}"
    if _key(str(PurePosixPath(file).with_suffix(""))) in (
        _key(str(last.with_suffix(""))),
        _key(name),
    ):
        what = "with another ending"
    else:
        what = "in another folder"
    if PurePosixPath(file).stem not in (last.stem, last.name):  # which --match stem would not find
        return f"{there}: {what}, and capitals or accents are written differently"
    return f"{there}: {what}; {_BY_STEM}"


def _is_file(file: Path) -> bool:
    """Whether it is there for this user: not in a locked folder, nor under a name no disk takes."""
    return os.path.isfile(file)  # noqa: PTH113 - a Path raises for both


def _key(text: str) -> str:
    """The text for comparing: neither capitals nor the way of writing accents count."""
    return unicodedata.normalize("NFC", text).casefold()
