"""The label table of a dataset, once every cell is known to be good → LabelTable."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import Labels, UsageError, sha256_file


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """One row per real image: N rows, L pathologies in the table's order."""

    dataset: str
    # str columns: image (name in the table), patient, file (below root); and view, sex, age: the
    # words of GROUPS, "" if unknown
    rows: pd.DataFrame
    labels: Labels  # int8 [N, L]: 1, 0 or -1 = unknown, after the uncertainty policy
    pathologies: tuple[str, ...]
    sha256: str  # of the table's file
    salt: bytes  # from the table's content too, but not to be had from `sha256`
    root: Path | None  # where the images lie; None: no images (the demo, or labels alone)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)


def checked(
    dataset: str, path: Path, rows: pd.DataFrame, labels: pd.DataFrame, root: Path | None
) -> LabelTable:
    """The table once every cell is known to be good; blank labels become 0 (not mentioned)."""
    refuse(rows["image"].isna(), path, "image", "is blank", rows)
    stripped = rows["patient"].str.strip()
    rows["patient"] = stripped.mask(stripped == "")
    refuse(rows["patient"].isna(), path, "patient", "is blank or not recognised", rows)
    refuse(rows["image"].duplicated(), path, "image", "stands twice in the table", rows)
    matrix = np.empty(labels.shape, dtype=np.int8)
    for column, name in enumerate(labels.columns):
        cells = labels[name]
        known = pd.to_numeric(cells, errors="coerce").where(cells.notna(), 0)
        hint = "is not 1, 0, -1 or blank (drop columns that are not labels)"
        refuse(~known.isin((-1, 0, 1)), path, str(name), hint, labels)
        matrix[:, column] = known
    return LabelTable(
        dataset=dataset,
        rows=rows,
        labels=matrix,
        pathologies=tuple(str(name) for name in labels.columns),
        sha256=sha256_file(path),
        salt=_salt(path),
        root=root,
    )


def refuse(bad: pd.Series, path: Path, column: str, why: str, values: pd.DataFrame) -> None:
    """Raise UsageError for the first `bad` row: where it is, what it holds, `why` not."""
    if bad.any():
        row = int(np.argmax(bad.to_numpy(dtype=bool)))
        cell = values[column].iloc[row]
        found = "the cell" if pd.isna(cell) else repr(cell) if isinstance(cell, str) else cell
        raise UsageError(at(path, row, column, f"{found} {why}"))


def at(path: Path, row: int, column: str, what: str) -> str:
    """A sentence that says where in a table something is wrong; `row` counts from 0."""
    return f"{path}, row {row + 1} below the header, column {column!r}: {what}."


def _salt(path: Path) -> bytes:
    """32 bytes from the table's content."""
    digest = hashlib.blake2b(digest_size=32, person=b"patient salt")
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
