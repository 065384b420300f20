"""Cells of a table: their numbers, and where the first wrong one stands."""

from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import UsageError, printable
from builder.labels.dialect import PARQUET, begins_with, read_text, records


def numbers(cells: pd.Series) -> pd.Series:
    """float64 of each cell, decimal commas allowed; NaN where it is blank or no number."""
    if not pd.api.types.is_numeric_dtype(cells):
        cells = cells.astype("str").str.replace(",", ".", regex=False)
    return pd.to_numeric(cells, errors="coerce").astype("float64")


def refuse_cells(bad: pd.Series, path: Path, column: str, why: str, cells: pd.Series) -> None:
    """Raise UsageError if any row is `bad`: where the first one is, what its cell holds, `why`.

    `cells` is the column; its index numbers the rows of the table from 0, as `read_csv` does.
    """
    if bad.any():
        at = int(np.argmax(bad.to_numpy(dtype=bool)))
        what = f"{shown(cells.iloc[at])} {why}"
        raise UsageError(cell_message(path, int(cells.index[at]), column, what))


def shown(cell: object) -> str:
    """A cell as a message names it."""
    if not isinstance(cell, str) and pd.isna(cell):  # type: ignore[call-overload]
        return "the cell"
    if not isinstance(cell, str):
        return printable(str(cell))
    return printable(repr(cell).replace("\\\\", "\\"))  # a Windows path as the table has it


def cell_message(path: Path, row: int, column: str, what: str) -> str:
    """A sentence that says where in a table something is wrong; `row` counts from 0."""
    return f"{path}, {place(path, row, column)}, column {printable(repr(column))}: {what}."


def place(path: Path, row: int, column: str) -> str:
    """ "line 7", as an editor counts it, for a row of `read_csv` that counts from 0."""
    if path.is_dir():  # images without a table
        return f"image {row + 1}"
    if begins_with(path, PARQUET):
        return f"row {row + 1}"
    line, _ = next(islice(records(read_text(path, (column,))), row, None))
    return f"line {line}"
