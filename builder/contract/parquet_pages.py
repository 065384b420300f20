"""The footer of a parquet file and the header of every page, before Arrow makes room for a value.

They are read here (parquet-format, FileMetaData and PageHeader) because Arrow's own metadata end
the process where they are forged.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from builder.contract.delta import first_and_largest
from builder.contract.thrift import Fields, read_struct

DAMAGE = (ValueError, LookupError, TypeError, ArithmeticError)  # what forged numbers lead to

_MAX_FOOTER = 1 << 20  # bytes; eighty million rows
_MAX_DEPTH = 32  # of columns that hold columns: Arrow goes down by recursion
_LEVELS = 4  # bytes that say how long the levels of a page of version 1 are
_OPTIONAL, _REPEATED = 1, 2
_DICTIONARY, _INDEX, _V2 = 2, 1, 3  # kinds of page; 0 is a data page of version 1
_BY_PREFIX, _BY_WORD = 7, (2, 8)
_MAX_WORDS = 1 << 20  # of a dictionary; writers end one at some megabytes
_ENCODINGS = (0, 2, 3, 5, 6, _BY_PREFIX, 8, 9)
_CODECS = ("", "snappy", "gzip", "", "brotli", "", "zstd", "lz4_raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A column that holds values."""

    facts: Fields  # 1: physical type, 2: bytes of a fixed size, 3: repetition, 6 and 10: meaning
    nested: bool  # whether it is a part of another column, or a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What the end of the file says; a chunk is a column of a group of rows."""

    size: int  # bytes of the file
    rows: int
    leaves: list[Leaf]
    groups: list[Fields]  # 1: chunks, 3: rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the header of a page says."""

    dictionary: bool
    values: int
    encoding: int
    size: int  # bytes once it is decompressed
    body: slice  # of the column's bytes
    levels: int  # bytes in front of the values of version 2; these are never compressed
    second: bool  # whether it is of version 2
    compressed: bool

    @property
    def worded(self) -> bool:
        """Whether its values are numbers of words in a dictionary."""
        return self.encoding in _BY_WORD and not self.dictionary


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A column of a group of rows, as it lies in the file."""

    leaf: Leaf
    rows: int
    codec: str
    data: bytes

    def pages(self) -> Iterator[Page]:
        """Every page, to the last; an error of DAMAGE where one is forged or missing."""
        values = 0
        for page in _pages(self.data):
            values += 0 if page.dictionary else page.values
            yield page
        if values < self.rows or (values > self.rows and not self.leaf.nested):
            raise ValueError("a column of it has other rows")

    def longest_prefixed(self, page: Page) -> int:
        """The most bytes of a cell's beginning that the cell before it has, 0 if none may.

        ValueError where the first cell begins like another.
        """
        if page.encoding != _BY_PREFIX:
            return 0
        if self.leaf.nested:
            raise ValueError("a list has words that begin like the one before")
        first, largest = first_and_largest(self._values(page), page.values)
        if first:
            raise ValueError("its first cell begins like the one before")
        return largest

    def longest_word(self, page: Page) -> int:
        """The bytes of the longest word in a dictionary; of one with too many words all bytes."""
        words, place, longest = self._values(page), 0, 0
        for _ in range(_MAX_WORDS):
            if place >= len(words):
                return longest
            length = int.from_bytes(words[place : place + 4], "little")
            longest, place = max(longest, length), place + 4 + length
        return page.size

    def _values(self, page: Page) -> bytes:
        """A page's values without its levels."""
        import pyarrow as pa

        body = self.data[page.body]
        levels, values = body[: page.levels], body[page.levels :]
        if self.codec and page.compressed:
            size = page.size - len(levels)
            values = pa.Codec(self.codec).decompress(values, size, asbytes=True)
        if page.second or page.dictionary or self.leaf.facts.get(3) != _OPTIONAL:
            return values
        return values[_LEVELS + int.from_bytes(values[:_LEVELS], "little") :]


def read_footer(file: BinaryIO) -> Footer:
    """The footer; an error of DAMAGE where it is forged or longer than any."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    if not 0 < length <= min(size - 8, _MAX_FOOTER):
        raise ValueError(f"its footer has {length:,} bytes")
    file.seek(size - 8 - length)
    _, facts = read_struct(file.read(length), 0)
    groups = [group for group in facts[4] if group[3]]
    if sum(group[3] for group in groups) != facts[3] or any(group[3] < 0 for group in groups):
        raise ValueError("its groups have other rows")
    return Footer(size=size, rows=facts[3], leaves=_leaves(facts[2]), groups=groups)


def _leaves(schema: list[Fields]) -> list[Leaf]:
    """The columns in a tree, which is listed from its root."""
    root, *rest = schema
    found, left = [], [root.get(5, 0)]  # parts that each open column still has
    for facts in rest:
        while not left[-1]:
            left.pop()
        left[-1] -= 1
        if parts := facts.get(5, 0):
            left.append(parts)
        else:
            nested = len(left) > 1 or facts.get(3, 0) == _REPEATED
            found.append(Leaf(facts=facts, nested=nested))
        if len(left) > _MAX_DEPTH or parts < 0:
            raise ValueError("its columns are nested too deeply")
    if any(left):
        raise ValueError("a column of it is missing")
    return found


def read_chunks(file: BinaryIO, footer: Footer) -> Iterator[tuple[int, Chunk]]:
    """Each chunk and the number of its column, group by group.

    An error of DAMAGE where it is forged.
    """
    for group in footer.groups:
        for number, (leaf, chunk) in enumerate(zip(footer.leaves, group[1], strict=True)):
            facts = chunk[3]
            data, codec = _stored(file, facts, footer.size), _CODECS[facts[4]]
            yield number, Chunk(leaf=leaf, rows=group[3], codec=codec, data=data)


def _stored(file: BinaryIO, facts: Fields, size: int) -> bytes:
    """The pages of a chunk, as they lie in the file."""
    start = min(facts[9], facts.get(11) or facts[9])
    if not 4 <= start <= start + facts[7] <= size:
        raise ValueError("a column lies outside of the file")
    file.seek(start)
    return file.read(facts[7])


def _pages(data: bytes) -> Iterator[Page]:
    """The pages of a column."""
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
        yield Page(
            dictionary=kind == _DICTIONARY,
            values=values,
            encoding=encoding,
            size=size,
            body=body,
            levels=levels,
            second=second,
            compressed=bool(facts.get(7, True)) or not second,
        )
