"""A CSV file as a data frame: only the empty cell is blank, and nothing is guessed."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder.contract import UsageError
from builder.labels.label_table import at


def shipped_table(name: str) -> Path:
    """The path of a label table inside torchxrayvision, found without importing it."""
    spec = importlib.util.find_spec("torchxrayvision")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / "data" / name).is_file():
            return path
    raise UsageError(f"torchxrayvision's {name} is not installed: give the table by --labels FILE.")


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The CSV with at least `columns`; only the empty cell counts as blank."""
    import pyarrow.compute as pc
    from pyarrow import csv, string, types

    words = dict.fromkeys(("image", "patient", "Path", "Image Index", "Patient ID"), string())
    blanks = csv.ConvertOptions(column_types=words, null_values=[""], strings_can_be_null=True)
    try:
        if not path.stat().st_size:
            raise UsageError(f"{path} is empty.")
        table = csv.read_csv(path, convert_options=blanks)  # refuses short and long rows
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"Cannot read the label table {path}: {why}.") from None
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{path} is not a readable CSV: {reason}.") from None
    if len({*table.column_names}) < len(table.column_names):
        raise UsageError(f"{path} has two columns of one name: {', '.join(table.column_names)}.")
    for name, column in zip(table.column_names, table.columns, strict=True):
        if (
            types.is_floating(column.type)
            and (row := pc.index(pc.is_nan(column), True).as_py()) >= 0
        ):
            raise UsageError(at(path, row, name, "'NaN' is no number; leave unknown cells blank"))
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=_words, split_blocks=True, self_destruct=True
    )
    if missing := [name for name in columns if name not in frame.columns]:
        raise UsageError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}."
        )
    if frame.empty:
        raise UsageError(f"{path} has a header but no row.")
    return frame


def _words(kind: Any) -> Any:
    """Text as pandas' str, true and false as text too: they are no labels."""
    return pd.StringDtype(na_value=np.nan) if str(kind) in ("string", "bool") else None
