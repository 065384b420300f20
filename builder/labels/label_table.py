"""The label table of a dataset, once every cell is known to be good → LabelTable."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import Labels, UsageError, sha256_file


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """One row per real image: N rows, L pathologies in the table's order."""

    dataset: str
    # str columns: image (its name in the table), patient, file (path below root), and view, sex,
    # age: the words of GROUPS, "" if unknown; and split, the official one: train, val, test or ""
    rows: pd.DataFrame
    labels: Labels  # int8 [N, L]: 1, 0 or -1 = unknown, after the uncertainty policy
    pathologies: tuple[str, ...]
    sha256: str  # of the table's file
    salt: bytes  # also made from the file's content, but cannot be computed from `sha256`
    root: Path | None  # the folder of the images; None: no images (the demo, or labels alone)
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
    notes: Sequence[str] = (),
) -> LabelTable:
    """The LabelTable of the file `path`, before the uncertainty policy.

    `rows` has the columns that LabelTable.rows has, or all but split; `labels` one column per pathology; a blank
    label becomes 0 (not mentioned). Raises UsageError with row and column for the first cell that
    is wrong: a blank image or patient, an image that appears twice, a label other than 1, 0, -1.
    """
    refuse_cells(rows["image"].isna(), path, "image", "is blank", rows)
    stripped = rows["patient"].str.strip()
    rows["patient"] = stripped.mask(stripped == "")
    refuse_cells(rows["patient"].isna(), path, "patient", "is blank or not recognised", rows)
    refuse_cells(rows["image"].duplicated(), path, "image", "appears twice in the table", rows)
    if "split" not in rows:
        rows["split"] = ""
    return LabelTable(
        dataset=dataset,
        rows=rows,
        labels=_label_matrix(labels, path),
        pathologies=tuple(str(name) for name in labels.columns),
        sha256=sha256_file(path),
        salt=_salt(path),
        root=root,
        notes=tuple(notes),
    )


def refuse_cells(bad: pd.Series, path: Path, column: str, why: str, values: pd.DataFrame) -> None:
    """Raise UsageError if any row is `bad`: where the first one is, what its cell holds, `why`."""
    if bad.any():
        row = int(np.argmax(bad.to_numpy(dtype=bool)))
        cell = values[column].iloc[row]
        found = "the cell" if pd.isna(cell) else repr(cell) if isinstance(cell, str) else cell
        raise UsageError(cell_message(path, row, column, f"{found} {why}"))


def cell_message(path: Path, row: int, column: str, what: str) -> str:
    """A sentence that says where in a table something is wrong; `row` counts from 0."""
    return f"{path}, row {row + 1} below the header, column {column!r}: {what}."


def _label_matrix(labels: pd.DataFrame, path: Path) -> Labels:
    """int8 [N, L] from columns of 1, 0, -1 and blanks."""
    matrix = np.empty(labels.shape, dtype=np.int8)
    for column, name in enumerate(labels.columns):
        cells = labels[name]
        known = pd.to_numeric(cells, errors="coerce").where(cells.notna(), 0)
        hint = "is not 1, 0, -1 or blank (drop columns that are not labels)"
        refuse_cells(~known.isin((-1, 0, 1)), path, str(name), hint, labels)
        matrix[:, column] = known
    return matrix


def _salt(path: Path) -> bytes:
    """32 bytes from the table's content, for the salted hashes of patients."""
    digest = hashlib.blake2b(digest_size=32, person=b"patient salt")
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
