"""A CSV file as a data frame: only the empty cell is blank, and nothing is guessed."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from builder.contract import UsageError
from builder.labels.label_table import cell_message

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT_COLUMNS = ("image", "patient", "Path", "Image Index", "Patient ID")  # 007 is not 7


def shipped_table(name: str) -> Path:
    """The path of a label table inside torchxrayvision, found without importing it.

    UsageError where torchxrayvision is not installed or lacks the file.
    """
    spec = importlib.util.find_spec("torchxrayvision")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / "data" / name).is_file():
            return path
    raise UsageError(f"torchxrayvision's {name} is not installed: give the table by --labels FILE.")


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """All columns of a CSV file, plain or compressed (.gz); blank cells are NaN.

    Text and true/false are str, whole numbers int64, other numbers float64. Raises UsageError for
    a file that is missing, damaged or without rows, a row of another length, a column name that
    appears twice, a cell that says NaN, or one of `columns` that is missing.
    """
    table = _parse(path)
    names = table.column_names
    if len({*names}) < len(names):
        raise UsageError(f"{path} has two columns of one name: {', '.join(names)}.")
    _check_numbers(path, table)
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=_pandas_type, split_blocks=True, self_destruct=True
    )
    if missing := [name for name in columns if name not in frame.columns]:
        raise UsageError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}."
        )
    if frame.empty:
        raise UsageError(f"{path} has a header but no row.")
    return frame


def _parse(path: Path) -> "pa.Table":
    from pyarrow import csv, string

    options = csv.ConvertOptions(
        column_types=dict.fromkeys(_TEXT_COLUMNS, string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        if not path.stat().st_size:
            raise UsageError(f"{path} is empty.")
        return csv.read_csv(path, convert_options=options)  # refuses short and long rows
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"Cannot read the label table {path}: {why}.") from None
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{path} is not a readable CSV: {reason}.") from None


def _check_numbers(path: Path, table: "pa.Table") -> None:
    """Raise UsageError for the first cell that says NaN: pandas would take it for a blank one."""
    import pyarrow.compute as pc
    from pyarrow import types

    for name, column in zip(table.column_names, table.columns, strict=True):
        if not types.is_floating(column.type):
            continue
        if (row := pc.index(pc.is_nan(column), True).as_py()) >= 0:
            why = "'NaN' is not a number; leave unknown cells blank"
            raise UsageError(cell_message(path, row, name, why))


def _pandas_type(kind: Any) -> Any:
    """Text as pandas' str; true and false as text too, because they are not labels."""
    return pd.StringDtype(na_value=np.nan) if str(kind) in ("string", "bool") else None
