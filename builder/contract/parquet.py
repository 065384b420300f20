"""A parquet file of a stranger → its table, once its pages are known to be no larger than they say.

A few bytes of parquet can stand for gigabytes: a page may be compressed thousandfold, a word of a
dictionary stands in any number of rows, a value may repeat the beginning of the one before it. So
what Arrow would make room for is first compared with what the rows need. Then Arrow reads the file.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from builder.contract.errors import CheckError, printable
from builder.contract.parquet_pages import DAMAGE, Footer, read_chunks, read_footer

Longest = Mapping[str, int]  # bytes of the longest cell that a column of text may have

_FREE_ROWS = 4096  # more of them take a byte each in the file, at least
_SLACK = 1 << 16  # bytes of a page beside its values: levels, statistics, a dictionary's own
_NUMBER = 8  # bytes of the widest number


def read_parquet(
    path: Path, what: str, *, rows: int | None, columns: Callable[[Any], Longest]
) -> Any:  # pyarrow has no types
    """The table in the file, which `what` names in the CheckError; no cell without a value.

    `columns(schema)` raises CheckError where the columns are not as they must be, and says how long
    the texts in them may be. `rows` is how many there must be, where that is known.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            footer = read_footer(file)
            if any(leaf.nested for leaf in footer.leaves):
                raise ValueError("its columns are nested")
            schema = pq.read_schema(file)
            if rows not in (None, footer.rows):
                raise CheckError(f"{what} has {footer.rows:,} rows, the manifest says {rows:,}.")
            if footer.rows > footer.size + _FREE_ROWS:
                raise CheckError(f"{what} is too small for its {footer.rows:,} rows.")
            longest = columns(schema)
            words = [*dict.fromkeys(_check_chunks(file, footer, schema, longest, what))]
            # Words come in dictionaries, which hold each of them once. Arrow gets the file and no
            # path, as it knows none that is not UTF-8.
            table = pq.read_table(file, partitioning=None, read_dictionary=words)
        table.validate(full=True)
        _check_cells(table, longest, what)
        return pa.table([_plain(table[f.name], f.type) for f in schema], schema=schema)
    except CheckError:
        raise
    except (pa.ArrowException, OSError, *DAMAGE) as error:
        reason = printable(" ".join(str(error).split()))
        raise CheckError(f"{what} is cut, damaged or not readable ({reason}).") from None


def _check_chunks(
    file: BinaryIO, footer: Footer, schema: Any, longest: Longest, what: str
) -> Iterator[str]:
    """The columns of text that come with dictionaries; CheckError where a page is too large."""
    import pyarrow as pa

    for number, chunk in read_chunks(file, footer):
        field = schema.field(number)
        text = pa.types.is_dictionary(field.type) or field.name in longest
        width = longest[field.name] + 4 if text else _width(field.type)
        for page in chunk.pages():
            if page.size > min(page.values, chunk.rows) * width + _SLACK:
                raise CheckError(
                    f"{what} is refused: a page of its column {printable(field.name)} has"
                    f" {page.size:,} bytes for {page.values:,} values."
                )
            if (largest := chunk.longest_prefixed(page)) > width:
                raise CheckError(f"{what} is refused: it has a cell of {largest:,} bytes.")
            if page.dictionary and text and not pa.types.is_dictionary(field.type):
                yield field.name


def _width(kind: Any) -> int:
    """The bytes of a value that is no text."""
    import pyarrow as pa

    return max(_NUMBER, kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0)


def _check_cells(table: Any, longest: Longest, what: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(table.column_names, table.columns, strict=True):
        shown = printable(name)
        if column.null_count:
            raise CheckError(f"{what} is refused: it has no value in some row of {shown}.")
        for chunk in column.chunks:
            words = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            if words.null_count:
                raise CheckError(f"{what} is refused: it has no value in a word of {shown}.")
            found = pc.max(pc.binary_length(words)).as_py() if name in longest else None
            if found is not None and found > longest[name]:
                raise CheckError(
                    f"{what} is refused: it has a cell of {found:,} bytes in {shown}, more than"
                    f" {longest[name]} bytes."
                )


def _plain(column: Any, kind: Any) -> Any:
    return column if column.type.equals(kind) else column.cast(kind)
