"""A parquet file of a stranger → its table, once its pages are known to be no larger than they say.

A few bytes of parquet can stand for gigabytes: a page may be compressed thousandfold, a word of a
dictionary stands in any number of rows, a value may repeat the beginning of the one before it. So
the footer and the header of every page are read first (parquet-format, FileMetaData, PageHeader),
and what Arrow would make room for is compared with what the rows need. Then Arrow reads the file.
They are read here because Arrow's own metadata end the process where they are forged.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from builder.contract.delta import first_and_largest
from builder.contract.errors import CheckError, printable
from builder.contract.thrift import Fields, read_struct

Longest = Mapping[str, int]  # bytes of the longest cell that a column of text may have

_MAX_FOOTER = 1 << 20  # bytes; eighty million rows
_FREE_ROWS = 4096  # more of them take a byte each in the file, at least
_SLACK = 1 << 16  # bytes of a page beside its values: levels, statistics, a dictionary's own
_NUMBER = 8  # bytes of the widest number
_LEVELS = 4  # bytes that say how long the levels of a page of version 1 are
_OPTIONAL = 1
_DICTIONARY, _INDEX, _V2 = 2, 1, 3  # kinds of page; 0 is a data page of version 1
_BY_PREFIX = 7
_ENCODINGS = (0, 2, 3, 5, 6, _BY_PREFIX, 8, 9)
_CODECS = ("", "snappy", "gzip", "", "brotli", "", "zstd", "lz4_raw")
_DAMAGE = (ValueError, LookupError, TypeError, ArithmeticError)  # what forged numbers lead to


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
            schema = pq.read_schema(path)
            footer = _footer(file, what)
            if rows not in (None, footer.rows):
                raise CheckError(f"{what} has {footer.rows:,} rows, the manifest says {rows:,}.")
            if footer.rows > footer.size + _FREE_ROWS:
                raise CheckError(f"{what} is too small for its {footer.rows:,} rows.")
            longest = columns(schema)
            words = [*dict.fromkeys(_check_chunks(file, footer, schema, longest, what))]
        # Words come in dictionaries, which hold each of them once.
        table = pq.read_table(path, partitioning=None, read_dictionary=words)
        table.validate(full=True)
        _check_cells(table, longest, what)
        return pa.table([_plain(table[f.name], f.type) for f in schema], schema=schema)
    except CheckError:
        raise
    except (pa.ArrowException, OSError, *_DAMAGE) as error:
        reason = printable(" ".join(str(error).split()))
        raise CheckError(f"{what} is cut, damaged or not readable ({reason}).") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Footer:
    """What the end of the file says; a chunk is a column of a group of rows."""

    size: int  # bytes of the file
    rows: int
    leaves: list[Fields]  # of the schema, one for each column
    groups: list[Fields]  # 1: chunks, 3: rows


def _footer(file: BinaryIO, what: str) -> _Footer:
    """The footer; CheckError where it is longer than any, ValueError where it is damaged."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    if length > _MAX_FOOTER:
        raise CheckError(f"{what} is refused: its footer has {length:,} bytes.")
    file.seek(size - 8 - length)
    _, facts = read_struct(file.read(length), 0)
    rows, (_, *leaves) = facts[3], facts[2]
    groups = [group for group in facts[4] if group[3]]
    if sum(group[3] for group in groups) != rows or any(group[3] < 0 for group in groups):
        raise ValueError("its groups have other rows")
    if any(leaf.get(5) or leaf.get(3, 0) > _OPTIONAL for leaf in leaves):
        raise ValueError("its columns are nested")
    return _Footer(size=size, rows=rows, leaves=leaves, groups=groups)


def _check_chunks(
    file: BinaryIO, footer: _Footer, schema: Any, longest: Longest, what: str
) -> Iterator[str]:
    """The columns of text that come with dictionaries; CheckError where a page is too large."""
    import pyarrow as pa

    for group in footer.groups:
        for field, leaf, chunk in zip(schema, footer.leaves, group[1], strict=True):
            text = pa.types.is_dictionary(field.type) or field.name in longest
            width = longest[field.name] + 4 if text else _width(field.type)
            facts, left = chunk[3], group[3]
            data = _column(file, facts, footer.size)
            for page in _pages(data):
                if page.size > min(page.values, group[3]) * width + _SLACK:
                    raise CheckError(
                        f"{what} is refused: a page of its column {printable(field.name)} has"
                        f" {page.size:,} bytes for {page.values:,} values."
                    )
                if page.encoding == _BY_PREFIX:
                    front = _LEVELS if leaf.get(3) == _OPTIONAL else 0
                    values = _values(data, page, _CODECS[facts[4]], front)
                    first, largest = first_and_largest(values, page.values)
                    if first or largest > width:  # of the cell before, which is repeated
                        raise CheckError(f"{what} is refused: it has a cell of {largest:,} bytes.")
                if not page.dictionary:
                    left -= page.values
                elif text and not pa.types.is_dictionary(field.type):
                    yield field.name
            if left:
                raise ValueError(f"its column {field.name} has other rows")


def _width(kind: Any) -> int:
    """The bytes of a value that is no text."""
    import pyarrow as pa

    return max(_NUMBER, kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0)


def _column(file: BinaryIO, facts: Fields, size: int) -> bytes:
    """The pages of a chunk, as they lie in the file."""
    start = min(facts[9], facts.get(11) or facts[9])
    if not 4 <= start <= start + facts[7] <= size:
        raise ValueError("a column lies outside of the file")
    file.seek(start)
    return file.read(facts[7])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What the header of a page says."""

    dictionary: bool
    values: int
    encoding: int
    size: int  # bytes once it is decompressed
    body: slice  # of the column's bytes
    levels: int  # bytes in front of the values of version 2; these are never compressed
    second: bool  # whether it is of version 2
    compressed: bool


def _pages(data: bytes) -> Iterator[_Page]:
    """The pages of a column; ValueError or LookupError where a header is damaged."""
    place = 0
    while place < len(data):
        place, header = read_struct(data, place)
        kind, size, stored = header[1], header[2], header[3]
        body = slice(place, place + stored)
        place += stored
        if not 0 <= stored <= place <= len(data) or size < 0:
            raise ValueError("a page is cut")
        if kind == _INDEX:
            continue
        facts, second = header[{0: 5, _DICTIONARY: 7, _V2: 8}[kind]], kind == _V2
        values, encoding = facts[1], facts[4 if second else 2]
        levels = facts[5] + facts[6] if second else 0
        if values < (kind != _DICTIONARY) or not 0 <= levels <= stored:
            raise ValueError("a page is damaged")
        if encoding not in _ENCODINGS:
            raise ValueError(f"a page of the unknown encoding {encoding}")
        yield _Page(
            dictionary=kind == _DICTIONARY,
            values=values,
            encoding=encoding,
            size=size,
            body=body,
            levels=levels,
            second=second,
            compressed=bool(facts.get(7, True)) or not second,
        )


def _values(data: bytes, page: _Page, codec: str, front: int) -> bytes:
    """A page's values without its levels, of which `front` bytes say how long they are."""
    import pyarrow as pa

    levels, values = data[page.body][: page.levels], data[page.body][page.levels :]
    if codec and page.compressed:
        values = pa.Codec(codec).decompress(values, page.size - len(levels), asbytes=True)
    if page.second:
        return values
    return values[front + int.from_bytes(values[:front], "little") :]


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
