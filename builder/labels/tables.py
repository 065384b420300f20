"""A table's file as a data frame: only blank cells are blank, and nothing is guessed."""

import csv
import importlib.util
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from builder.contract import UsageError, in_short, printable
from builder.labels.dialect import (
    PARQUET,
    TableText,
    begins_with,
    first_row,
    plain,
    read_text,
    records,
    well_quoted,
)
from builder.labels.parquet import read_bounded

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = re.compile(r"Unnamed: [\d.]+|__index_level_\d+__")  # what pandas calls its row numbers
_SHOWN = 20  # names of columns in a message


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


def read_csv(
    path: Path,
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    text: Collection[str] = (),
    others: bool = True,
    advice: str = "check --dataset and --labels",
) -> pd.DataFrame:
    """The columns of a table, CSV in any dialect or parquet; the index counts its rows from 0.

    Without `others`, those that are not named are left out, which saves time. `advice` says what to
    do where the file or one of its columns is missing.

    Columns are found whatever their capitals and outer blanks, and are called as in `columns`,
    `optional` and `text`. Blank cells are NaN, text and true/false are str, whole numbers int64,
    other numbers float64; columns in `text` are str as they stand: 007 is not 7. Raises UsageError
    for a file that is missing, damaged or without rows, a row of another length, a column name that
    appears twice, or one of `columns` that is missing.
    """
    names = (*columns, *optional, *text)
    as_text = {plain(name) for name in text}
    if begins_with(path, PARQUET, advice):
        table = _parquet_columns(path, as_text, {plain(name) for name in names})
        found: Collection[str] = table.column_names
    else:
        lines = read_text(path, names)
        found = tuple(filter(None, lines.header))
        table = _read_rows(lines, as_text, None if others else {plain(name) for name in names})
    asked = {plain(name): name for name in names}
    table = table.rename_columns([asked.get(plain(n), n) for n in table.column_names])
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=_pandas_type, split_blocks=True, self_destruct=True
    )
    if missing := [name for name in columns if name not in frame.columns]:
        raise UsageError(missing_column(path, missing[0], found, advice))
    if frame.empty:
        raise UsageError(f"{path} has a header but no row.")
    return frame


def missing_column(path: Path, name: str, found: Collection[str], advice: str = "") -> str:
    """The sentence for a column that the table lacks; `advice` says what to do."""
    few = in_short(found, _SHOWN, 600)
    then = f": {advice}" if advice else ""
    return f"{path} has no column {name!r}; it has {few}{then}."


def _read_rows(text: TableText, as_text: set[str], wanted: set[str] | None) -> "pa.Table":
    """The rows of a text, those of blank cells left out; None wants all columns."""
    import pyarrow as pa

    names = _checked_names(text.path, text.header)
    types = {i: pa.string() for i, name in enumerate(names) if plain(name) in as_text}
    first = first_row(text)
    if not first:
        raise UsageError(f"{text.path} has a header but no row.")
    width = max(len(names), len(first))
    chosen = [i for i, name in enumerate(names) if wanted is None or plain(name) in wanted]
    if not chosen:
        return _read_rows(text, as_text, None)
    try:
        asked = [*chosen, *range(len(names), width)]
        table = _parse(text.body, text.separator, width, types, asked)
        if not well_quoted(text) or _has_cells(table.columns[len(chosen) :]):
            raise pa.ArrowInvalid("rows that the other reader looks at one by one")
    except pa.ArrowInvalid:  # which knows no line numbers
        try:
            table = _parse(_rewritten(text), ",", len(names), types, chosen)
        except pa.ArrowInvalid as error:
            reason = printable(str(error).splitlines()[0])
            raise UsageError(f"{text.path} is not a readable table: {reason}.") from None
    table = _trimmed(table.select(range(len(chosen))).rename_columns([names[i] for i in chosen]))
    whole = _without_blank_rows(table)
    if wanted is not None and len(whole) < len(table):  # the other columns may not be blank there
        return _read_rows(text, as_text, None)
    return _named_columns(whole)


def _checked_names(path: Path, names: Sequence[str]) -> list[str]:
    """The names of the columns; UsageError where two of them are one name."""
    if not any(names):
        raise UsageError(f"{path} has no names of columns in its first line.")
    seen: dict[str, str] = {}
    for name in filter(None, names):
        if plain(name) in seen:
            both = printable(f"{seen[plain(name)]!r} and {name!r}")
            raise UsageError(f"{path} has two columns of one name, {both}: rename or delete one.")
        seen[plain(name)] = name
    return list(names)


def _parse(
    data: bytes | memoryview,
    separator: str,
    width: int,
    types: dict[int, Any],
    asked: Sequence[int],
) -> "pa.Table":
    """The columns `asked` for; a column with anything but plain numbers stays as it stands."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow

    table = arrow.read_csv(
        pa.BufferReader(pa.py_buffer(data)),
        read_options=arrow.ReadOptions(column_names=[str(i) for i in range(width)]),
        parse_options=arrow.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=arrow.ConvertOptions(
            include_columns=[str(i) for i in asked],
            column_types={str(i): kind for i, kind in types.items()},
            null_values=[""],
            true_values=[],
            false_values=[],
            strings_can_be_null=True,
        ),
    )
    words = {
        i: pa.string()
        for i, column in zip(asked, table.columns, strict=True)
        if pa.types.is_temporal(column.type)
        or (pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py())
    }
    return _parse(data, separator, width, types | words, asked) if words else table


def _has_cells(columns: "Sequence[pa.ChunkedArray]") -> bool:
    return any(column.null_count < len(column) for column in columns)


def _rewritten(text: TableText) -> bytes:
    """The rows with commas; UsageError for the first that is not as long as the header."""
    width = len(text.header)
    out = io.StringIO(newline="")
    write = csv.writer(out).writerow
    for line, cells in records(text):
        if len(cells) < width or any(cell.strip() for cell in cells[width:]):
            raise UsageError(
                f"{text.path}, line {line}: the row has {len(cells)} cells, but the header has "
                f"{width} names; a cell that holds the separator {text.separator!r} needs quotes."
            )
        write(cells[:width])
    return out.getvalue().encode()


def _trimmed(table: "pa.Table") -> "pa.Table":
    """The table without blanks around its text; text that is only blanks is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, column in enumerate(table.columns):
        if pa.types.is_null(column.type):
            table = table.set_column(i, table.column_names[i], column.cast(pa.string()))
        elif pa.types.is_string(column.type):
            cells = pc.utf8_trim_whitespace(column)
            cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
            table = table.set_column(i, table.column_names[i], cells)
    return table


def _without_blank_rows(table: "pa.Table") -> "pa.Table":
    import pyarrow.compute as pc

    blank = None
    for column in table.columns:
        if not column.null_count:
            return table
        null = pc.is_null(column)
        blank = null if blank is None else pc.and_(blank, null)
    return table if blank is None else table.filter(pc.invert(blank))


def _named_columns(table: "pa.Table") -> "pa.Table":
    """The table without blank columns that have no name, and without the row numbers of pandas."""
    import pyarrow as pa

    chosen: dict[str, pa.ChunkedArray] = {}
    for i, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        numbers = pa.types.is_integer(column.type) and (
            _INDEX.fullmatch(name) or (i, name) == (0, "")
        )
        if not numbers and (name or column.null_count < len(column)):
            chosen[name or f"column {i + 1}"] = column
    return pa.table(chosen)


def _parquet_columns(path: Path, as_text: set[str], asked: set[str]) -> "pa.Table":
    """The columns of a parquet file with the types that a CSV file would give them.

    UsageError where one that is `asked` for has bytes that are no text.
    """
    import pyarrow as pa

    table = read_bounded(path)
    names = _checked_names(path, [name.strip() for name in table.column_names])
    try:
        columns = [
            _plain_column(
                _texts(column, name if plain(name) in asked else None),
                as_text=plain(name) in as_text,
            )
            for name, column in zip(names, table.columns, strict=True)
        ]
    except (ValueError, pa.ArrowException) as error:
        reason = printable(str(error).strip().splitlines()[0].rstrip("."))
        raise UsageError(f"{path} is not a readable parquet file: {reason}.") from None
    return _named_columns(_trimmed(pa.table(columns, names=names)))


def _texts(column: "pa.ChunkedArray", name: str | None) -> "pa.ChunkedArray":
    """The column, with text for bytes: some writers do not say that theirs are text.

    ValueError where bytes are no text; where `name` is None, they are written out as Python does.
    """
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return column
    try:
        return column.cast(kind).cast(pa.string())
    except pa.ArrowInvalid:
        if name is not None:
            raise ValueError(f"its column {name!r} has bytes that are no UTF-8 text") from None
    cells = [None if cell is None else str(cell) for cell in column.to_pylist()]
    return pa.chunked_array([pa.array(cells, pa.string())])


def _plain_column(column: "pa.ChunkedArray", *, as_text: bool) -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_floating(kind):  # pandas writes a blank as NaN
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    if pa.types.is_null(kind):
        return column
    if pa.types.is_integer(kind) and not as_text and not pa.types.is_uint64(kind):
        return column.cast(pa.int64())
    if (pa.types.is_floating(kind) or pa.types.is_decimal(kind)) and not as_text:
        return column.cast(pa.float64())
    if pa.types.is_nested(kind):
        cells = [None if cell is None else str(cell) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(cells, pa.string())])
    return column.cast(pa.string())


def _pandas_type(kind: Any) -> Any:
    """Text as pandas' str."""
    return pd.StringDtype(na_value=np.nan) if str(kind) == "string" else None
