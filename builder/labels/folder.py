"""A folder of images whose subfolders are labels: train/NORMAL, train/PNEUMONIA and so on."""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from builder.contract import UsageError, in_short, printable
from builder.contract.folder import walk
from builder.labels.dialect import plain
from builder.labels.images import check_utf8
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.patients import patients_of
from builder.labels.source import Source
from builder.labels.splits import SPLIT_WORDS

_MASKS = ("mask", "masks", "segmentation", "segmentations")  # pictures that are no radiographs
_EXPECTED = (
    "expected class folders such as NORMAL/ and PNEUMONIA/, or train/, val/ and test/ of them"
)
_OTHER_FORMATS = (".bmp", ".webp", ".gif", ".jp2", ".heic", ".avif", ".pgm", ".nii", ".nii.gz")
_UNUSED_SPLIT = (
    "The folders train, val and test are not used: patients are divided anew; --split official "
    "keeps these parts."
)
_SHOWN = 30  # names of labels in a note


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """An image with what its folders say."""

    file: str  # path below the root
    label: str
    split: str  # train, val, test or ""


def read_folder(source: Source) -> LabelTable:
    """The images below the root: each has the label of its class folder, and 0 for the others.

    Folders train, val and test above all class folders, or in each of them, are the official split.
    The patient is what --patient-pattern finds in the path; else each image is one. There is no
    table: sha256 and salt are those of the images' paths. Raises UsageError for a folder that is
    not of this kind.
    """
    root = source.root
    if root is None or source.labels is not None:
        raise UsageError(
            "--dataset folder takes the labels from the folders of the images: name their folder "
            "by --root, and no --labels."
        )
    images, notes = _images(root)
    names = _names(root, images)
    files = pd.Series([image.file for image in images], dtype="str")
    patients, more = _patients(files, source.options.patient_pattern)
    columns = {plain(name): column for column, name in enumerate(names)}
    labels = np.zeros((len(images), len(names)), dtype=np.int8)
    labels[range(len(images)), [columns[plain(image.label)] for image in images]] = 1
    if not source.official and any(image.split for image in images):
        more = (*more, _UNUSED_SPLIT)
    return make_label_table(
        dataset="folder",
        path=root,
        listing=files.tolist(),
        rows=pd.DataFrame(
            {
                "image": files,
                "patient": patients,
                "file": files,
                "split": [image.split for image in images],
            }
        ),
        labels=pd.DataFrame(labels, columns=names),
        root=root,
        notes=(_labels_note(names, images), *notes, *more),
    )


def _images(root: Path) -> tuple[list[_Image], tuple[str, ...]]:
    """The images that have a label, sorted by path, and notes about the others."""
    found = walk(root)
    files = [PurePosixPath(file) for file in found.images]
    masks = [file for file in files if _is_mask(file)]
    files = [file for file in files if not _is_mask(file)]
    label, split = _levels(root, files)
    deep = max(label, split or 0) + 2
    loose = [file for file in files if len(file.parts) < deep]
    images = [
        _Image(
            file=str(file),
            label=file.parts[label].strip(),
            split="" if split is None else SPLIT_WORDS[file.parts[split].casefold()],
        )
        for file in files
        if len(file.parts) >= deep
    ]
    check_utf8([image.file for image in images], root)
    classes = {PurePosixPath(image.file).parts[: deep - 1] for image in images}
    outer = next(iter(classes), ())[: label if split is None else min(label, split)]
    strange = [
        file
        for file in map(PurePosixPath, found.others)
        if len(file.parts) >= deep
        and file.parts[: len(outer)] == outer
        and (split is None or file.parts[split].casefold() in SPLIT_WORDS)
        and not _is_mask(file)
    ]
    _refuse_other_formats(root, strange, classes, deep)
    notes = (
        _left_out(masks, "in folders of masks"),
        _left_out(loose, "in no class folder"),
        _formats_note([file for file in strange if file.parts[: deep - 1] in classes]),
        _left_out([*map(PurePosixPath, found.again)], "as links to folders that are read already"),
    )
    return images, tuple(filter(None, notes))


def _formats_note(files: Sequence[PurePosixPath]) -> str:
    """A note about files that no reader knows; "" if there are none."""
    if not files:
        return ""
    what = "1 file is" if len(files) == 1 else f"{len(files):,} files are"
    return f"{what} no PNG, JPEG, TIFF or DICOM, and left out: {_suffixes(files)}."


def _suffixes(files: Sequence[PurePosixPath]) -> str:
    """The suffixes of files with their numbers, the most frequent first."""
    counts = Counter(file.suffix.lower() or "none" for file in files)
    few = (f"{printable(suffix)} ({count:,})" for suffix, count in counts.most_common())
    return in_short(few, _SHOWN)


def _refuse_other_formats(
    root: Path, files: Sequence[PurePosixPath], classes: Set[tuple[str, ...]], deep: int
) -> None:
    """Raise UsageError where a folder beside the `classes` has images of other formats only."""
    lost = [
        file
        for file in files
        if file.name.lower().endswith(_OTHER_FORMATS) and file.parts[: deep - 1] not in classes
    ]
    if lost:
        folder = lost[0].parts[: deep - 1]
        found = [file for file in lost if file.parts[: deep - 1] == folder]
        raise UsageError(
            f"{root / printable('/'.join(folder))} holds images of other formats only, "
            f"{_suffixes(found)}: convert them to PNG, or move the folder away."
        )


def _left_out(files: Sequence[PurePosixPath], where: str) -> str:
    """A note about images that are not used; "" if there are none."""
    if not files:
        return ""
    others = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    return f"Left out, {where}: {printable(str(files[0]), 200)}{others}."


def _is_mask(file: PurePosixPath) -> bool:
    return any(part.lower() in _MASKS for part in file.parts[:-1])


def _levels(root: Path, files: Sequence[PurePosixPath]) -> tuple[int, int | None]:
    """How deep the class folders lie, and those of the split; None if there is no split.

    An outer folder that holds all of it, as archives have, is passed over.
    """
    level = 0
    while _names_at(files, level + 1) and len(_names_at(files, level)) == 1:
        if _is_split(root, files, level):
            break
        level += 1
    if _is_split(root, files, level):
        return level + 1, level
    if _is_split(root, files, level + 1):
        return level, level + 1
    return level, None


def _names_at(files: Sequence[PurePosixPath], level: int) -> list[str]:
    """The names of the folders at a depth."""
    return sorted({file.parts[level] for file in files if len(file.parts) > level + 1})


def _is_split(root: Path, files: Sequence[PurePosixPath], level: int) -> bool:
    """Whether the folders at a depth are train, val and test; UsageError if only some are."""
    names = _names_at(files, level)
    strange = [name for name in names if name.casefold() not in SPLIT_WORDS]
    if strange and len(strange) < len(names):
        found = next(name for name in names if name not in strange)
        raise UsageError(
            f"{root} has a folder {printable(found)}/ and beside it {printable(strange[0])}/, "
            "which is no part of a split: move it away, or point --root at one of the two."
        )
    return bool(names) and not strange


def _names(root: Path, images: Sequence[_Image]) -> list[str]:
    """The labels, sorted; UsageError where there are not at least two."""
    spelt: dict[str, str] = {}  # capitals do not count: the spelling of train goes for all
    for image in sorted(images, key=lambda image: image.split != "train"):
        spelt.setdefault(plain(image.label), image.label)
    if not spelt:
        raise UsageError(f"{root} has no class folder with images: {_EXPECTED}.")
    if len(spelt) == 1:
        only = printable(images[0].label)
        raise UsageError(f"{root} has one class folder only, {only}/: {_EXPECTED}.")
    return [spelt[name] for name in sorted(spelt)]


def _labels_note(names: Sequence[str], images: Sequence[_Image]) -> str:
    counts = Counter(plain(image.label) for image in images)
    few = in_short((f"{name} ({counts[plain(name)]:,})" for name in names), _SHOWN)
    return f"{len(names)} labels from folders: {few}."


def _patients(files: pd.Series, pattern: str | None) -> tuple[pd.Series, tuple[str, ...]]:
    """The patient of each image, and notes."""
    if pattern is not None:
        return patients_of(files, pattern)
    note = (
        f"Each of the {len(files):,} images counts as a patient of its own: if the names hold "
        r"patients, say how by --patient-pattern, such as 'person(\d+)'."
    )
    return files, (note,)
