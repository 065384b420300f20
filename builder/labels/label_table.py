"""The label table of a dataset, once every cell is known to be good → LabelTable."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from builder.contract import GROUPS, Labels, UsageError, sha256_bytes, sha256_file
from builder.labels.cells import cell_message, numbers, place, refuse_cells, shown
from builder.labels.patients import check_patients

_CHOOSE = "; --label-column chooses the columns that are labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """One row per real image: N rows, L pathologies in the table's order."""

    dataset: str
    path: Path  # the table's file, for messages
    # str columns: image (its name in the table), patient, file (path below root), and view, sex,
    # age: the words of GROUPS, "" if unknown; and split, the official one: train, val, test or ""
    # int column: depth, the bits of grey in the image's file, 0 if the table does not say
    rows: pd.DataFrame
    labels: Labels  # int8 [N, L]: 1, 0 or -1 = unknown, after the uncertainty policy
    pathologies: tuple[str, ...]
    sha256: str  # of the table's file, of all that were read, or of the images' paths
    salt: bytes  # also made from the file's content, but cannot be computed from `sha256`
    root: Path | None  # the folder of the images; None: no images (the demo, or labels alone)
    links_to: tuple[Path, ...] = ()  # folders outside of it that links in it may lead to
    notes: tuple[str, ...] = ()  # sentences that the user should read: what was taken or left out

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)


def make_label_table(
    *,
    dataset: str,
    path: Path,
    rows: pd.DataFrame,
    labels: pd.DataFrame,
    root: Path | None,
    more: Sequence[Path] = (),
    listing: Sequence[str] | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> LabelTable:
    """The LabelTable of the file `path`, before the uncertainty policy.

    `rows` has image, patient and file of LabelTable.rows; of its other columns, those that are left
    out become "" or 0. The index numbers the rows of `path` from 0, so that messages name the line.
    `labels` has one column per pathology, in the order of `rows`; a blank label becomes 0 (not
    mentioned). `more` are the other tables that were read, `listing` the paths of images without
    any table; `columns` says how the table calls image and patient. Raises UsageError with line and
    column for the first cell that is wrong: a blank image or patient, a patient that is spelt in
    two ways, an image that appears twice, a label other than 1, 0, -1.
    """
    rows, labels = rows.copy(deep=False), labels.set_axis(rows.index)
    patients = rows["patient"].str.strip()
    rows["patient"] = patients.mask(patients == "")
    image, patient = (columns.get(name, name) for name in ("image", "patient"))
    refuse_cells(rows["image"].isna(), path, image, "is blank", rows["image"])
    why = "is blank or not recognised"
    refuse_cells(rows["patient"].isna(), path, patient, why, rows["patient"])
    own = rows["patient"] == rows["image"]  # each image is a patient: names may look alike
    check_patients(rows["patient"][~own], path, patient)
    _refuse_twice(rows["image"], path, image)
    if not rows["file"].equals(rows["image"]):
        _refuse_twice(rows["file"], path, image)
    for name in (*GROUPS, "split", "depth"):
        if name not in rows:
            rows[name] = 0 if name == "depth" else ""
    sha256, salt = fingerprint(path, *more) if listing is None else _of_listing(listing)
    return LabelTable(
        dataset=dataset,
        path=path,
        rows=rows.reset_index(drop=True),
        labels=_label_matrix(labels, path, _CHOOSE if dataset == "table" else ""),
        pathologies=tuple(str(name) for name in labels.columns),
        sha256=sha256,
        salt=salt,
        root=root,
        notes=tuple(notes),
    )


def _refuse_twice(names: pd.Series, path: Path, column: str) -> None:
    """Raise UsageError where an image, or its file, is in two rows; NaN is no file."""
    again = names.duplicated() & names.notna()
    if again.any():
        row = int(np.argmax(again))
        first = int(np.argmax(names == names.iloc[row]))
        where = place(path, int(names.index[first]), column)
        what = f"{shown(names.iloc[row])} appears twice, first in {where}"
        raise UsageError(cell_message(path, int(names.index[row]), column, what))


def _label_matrix(labels: pd.DataFrame, path: Path, advice: str) -> Labels:
    """int8 [N, L] from columns of 1, 0, -1 and blanks."""
    matrix = np.empty(labels.shape, dtype=np.int8)
    for column, name in enumerate(labels.columns):
        cells = labels[name]
        known = numbers(cells).where(cells.notna(), 0)
        why = f"is not 1, 0, -1 or blank{advice}"
        refuse_cells(~known.isin((-1, 0, 1)), path, str(name), why, cells)
        matrix[:, column] = known
    return matrix


def fingerprint(*paths: Path) -> tuple[str, bytes]:
    """sha256 and salt of the tables' content.

    Of several tables they are the sha256 of their sums as hexadecimal text, and the salt of their
    salts, each in order and without anything between.
    """
    sums, salts = [sha256_file(path) for path in paths], [_salt(path) for path in paths]
    if len(paths) == 1:
        return sums[0], salts[0]
    digest = hashlib.sha256("".join(sums).encode()).hexdigest()
    return digest, _salted(b"".join(salts)).digest()


def _of_listing(files: Sequence[str]) -> tuple[str, bytes]:
    """sha256 and salt of the images' paths, each with a line's end."""
    text = "".join(f"{file}\n" for file in files).encode()
    return sha256_bytes(text), _salted(text).digest()


def _salt(path: Path) -> bytes:
    """32 bytes from the table's content, for the salted hashes of patients."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: _salted(b"")).digest()


def _salted(data: bytes) -> "hashlib.blake2b":
    return hashlib.blake2b(data, digest_size=32, person=b"patient salt")
