"""A parquet file of a stranger → its table, once its pages are known to be no larger than they say.

A few bytes of parquet can stand for gigabytes: a page may be compressed thousandfold, a word of a
dictionary stands in any number of rows, a value may repeat the beginning of the one before it. So
the header of every page is read first (parquet-format, PageHeader), and what Arrow would make room
for is compared with what the rows need. Then Arrow reads the file.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from builder.contract.delta import first_and_largest
from builder.contract.errors import CheckError, printable

Longest = Mapping[str, int]  # bytes of the longest cell that a column of text may have

_MAX_FOOTER = 8 << 20  # bytes; thousands of row groups
_FREE_ROWS = 4096  # more of them take a byte each in the file, at least
_SLACK = 1 << 16  # bytes of a page beside its values: levels, statistics, a dictionary's own
_NUMBER = 8  # bytes of the widest number
_DICTIONARY, _INDEX, _V2 = 2, 1, 3  # kinds of page; 0 is a data page of version 1
_PLAIN, _BY_DICTIONARY, _BY_PREFIX = 0, (2, 8), 7  # encodings
_DAMAGE = (ValueError, LookupError, TypeError, ArithmeticError)  # what forged numbers lead to
_LEVELS = 4  # bytes that say how long the levels of a page of version 1 are


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
            size = _check_footer(file, what)
            metadata = pq.read_metadata(path)
            if rows not in (None, metadata.num_rows):
                raise CheckError(f"{what} has {metadata.num_rows:,} rows, expected {rows:,}.")
            if metadata.num_rows > size + _FREE_ROWS:
                raise CheckError(f"{what} is too small for its {metadata.num_rows:,} rows.")
            schema = pq.read_schema(path)
            longest = columns(schema)
            words = _check_chunks(file, size, metadata, schema, longest, what)
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


def _check_footer(file: BinaryIO, what: str) -> int:
    """The bytes of the file; CheckError where its list of pages is longer than any."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    end = file.read(8)
    footer = int.from_bytes(end[:4], "little")
    if footer > _MAX_FOOTER and end.endswith(b"PAR1"):
        raise CheckError(f"{what} is refused: its footer has {footer:,} bytes.")
    return size


def _check_chunks(
    file: BinaryIO, size: int, metadata: Any, schema: Any, longest: Longest, what: str
) -> list[str]:
    """The columns of text that come with dictionaries; CheckError where a page is too large."""
    import pyarrow as pa

    worded = set()
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise ValueError("its row groups have other rows")
    if metadata.num_columns != len(schema):
        raise ValueError("its columns are nested")
    for group in groups:
        for place, field in enumerate(schema):
            chunk, kept = group.column(place), field.type
            levels = metadata.schema.column(place)
            text = pa.types.is_dictionary(kept) or field.name in longest
            width = longest[field.name] + 4 if text else _width(kept)
            if levels.max_repetition_level or chunk.num_values != group.num_rows:
                raise ValueError(f"its column {field.name} is nested or has other rows")
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            if not 4 <= start <= start + chunk.total_compressed_size <= size:
                raise ValueError(f"its column {field.name} lies outside of the file")
            file.seek(start)
            data, left = file.read(chunk.total_compressed_size), group.num_rows
            for page in _pages(data):
                if page.size > min(page.values, group.num_rows) * width + _SLACK:
                    raise CheckError(
                        f"{what} is refused: a page of its column {printable(field.name)} has"
                        f" {page.size:,} bytes for {page.values:,} values."
                    )
                if page.dictionary and text and not pa.types.is_dictionary(kept):
                    worded.add(field.name)
                if page.encoding == _BY_PREFIX:
                    front = _LEVELS if levels.max_definition_level else 0
                    values = _values(data, page, chunk.compression, front)
                    first, largest = first_and_largest(values, page.values)
                    if first or largest > width:  # of the cell before, which is repeated
                        raise CheckError(f"{what} is refused: it has a cell of {largest:,} bytes.")
                left -= 0 if page.dictionary else page.values
            if left:
                raise ValueError(f"its column {field.name} has other rows")
    return sorted(worded)


def _width(kind: Any) -> int:
    """The bytes of a value that is no text."""
    import pyarrow as pa

    return max(_NUMBER, kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0)


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
    """The pages of a column; ValueError or IndexError where a header is damaged."""
    place = 0
    while place < len(data):
        place, header = _struct(data, place)
        kind, size, stored = (int(header[i]) for i in (1, 2, 3))
        facts = header.get({0: 5, _DICTIONARY: 7, _V2: 8}.get(kind, -1))
        body = slice(place, place + stored)
        place += stored
        if not 0 <= stored <= place <= len(data) or size < 0:
            raise ValueError("a page is cut")
        if kind == _INDEX:
            continue
        if not isinstance(facts, dict):
            raise ValueError(f"a page of the unknown kind {kind}")
        second = kind == _V2
        values, encoding = int(facts[1]), int(facts[4 if second else 2])
        levels = int(facts[5]) + int(facts[6]) if second else 0
        if values < (kind != _DICTIONARY) or not 0 <= levels <= stored:
            raise ValueError("a page is damaged")
        if encoding not in (_PLAIN, *_BY_DICTIONARY, 3, 5, 6, _BY_PREFIX, 9):
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
    if codec != "UNCOMPRESSED" and page.compressed:
        size = page.size - len(levels)
        values = pa.Codec(codec.lower()).decompress(values, size, asbytes=True)
    if page.second:
        return values
    return values[front + int.from_bytes(values[:front], "little") :]


def _check_cells(table: Any, longest: Longest, what: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise CheckError(f"{what} has no value in some row of column {printable(name)}.")
        for chunk in column.chunks:
            words = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            if words.null_count:
                raise CheckError(f"{what} has no value in a word of column {printable(name)}.")
            found = pc.max(pc.binary_length(words)).as_py() if name in longest else None
            if found is not None and found > longest[name]:
                raise CheckError(
                    f"{what} has a cell of {found:,} bytes in its column {printable(name)}, more"
                    f" than {longest[name]} bytes."
                )


def _plain(column: Any, kind: Any) -> Any:
    return column if column.type.equals(kind) else column.cast(kind)


def _struct(data: bytes, place: int, depth: int = 0) -> tuple[int, dict[int, Any]]:
    """A Thrift struct (compact protocol) without its texts: where it ends, and its fields."""
    found, number = dict[int, Any](), 0
    while (sign := data[place]) != 0:
        place, kind = place + 1, sign & 15
        if sign >> 4:
            number += sign >> 4
        else:
            place, number = _whole(data, place)
        if kind in (1, 2):
            found[number] = kind == 1
        elif kind == 3:
            place += 1
        elif kind in (4, 5, 6):
            place, found[number] = _whole(data, place)
        elif kind == 7:
            place += 8
        elif kind == 8:
            place, length = _varint(data, place)
            place += length
        elif kind == 12 and depth < 4:
            place, found[number] = _struct(data, place, depth + 1)
        else:
            raise ValueError(f"a page's header has a field of the kind {kind}")
    return place + 1, found


def _whole(data: bytes, place: int) -> tuple[int, int]:
    place, word = _varint(data, place)
    return place, (word >> 1) ^ -(word & 1)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        sign = data[place]
        number |= (sign & 127) << shift
        place, shift = place + 1, shift + 7
        if sign < 128:
            return place, number
    raise ValueError("a number of a page's header is too long")
