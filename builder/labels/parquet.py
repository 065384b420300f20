"""A label table in parquet → its columns, where they are no larger than tables of labels are.

A few bytes of parquet can stand for gigabytes, as those of a compressed CSV file can, and the same
bound holds. What Arrow would make room for is added up from the pages before it reads them; a word
that the file holds once counts in each row as the longest of its dictionary.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from builder.contract import UsageError, printable
from builder.contract.parquet_pages import DAMAGE, Chunk, Leaf, read_chunks, read_footer
from builder.labels.dialect import allowed_bytes

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER, _WORD = 8, 32  # bytes of a number's value, and of any other beside its content
_OBJECT, _SHOWN = 64, 4  # bytes of what Python writes out: of a value, and of each byte of it
_BYTES, _FIXED = 6, 7  # physical types; those below are numbers
_MEANING, _NEW_MEANING = 6, 10  # fields of a column, and what they say of text
_TEXT, _NEW_TEXT = 0, 1


def read_bounded(path: Path) -> "pa.Table":
    """The table; UsageError where it is damaged, or grows more than compressed CSV files may."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            footer, needed = read_footer(file), 0
            for _, chunk in read_chunks(file, footer):
                for part in _needed(chunk):
                    needed += part
                    _check(path, footer.size, needed)
            with pq.ParquetFile(file) as opened:  # Arrow knows no path that is not UTF-8
                table = opened.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, *DAMAGE) as error:
        reason = printable(" ".join(str(error).split()).rstrip("."))
        raise UsageError(f"{path} is not a readable parquet file: {reason}.") from None
    return table


def _check(path: Path, stored: int, needed: int) -> None:
    """UsageError where a file of `stored` bytes needs more than a table does."""
    if needed > (allowed := allowed_bytes(stored)):
        raise UsageError(
            f"{path} is refused: its {stored:,} bytes of parquet hold more than {allowed:,}, which "
            "no table of labels does; save it as CSV if you trust it."
        )


def _is_text(leaf: Leaf) -> bool:
    return leaf.facts.get(_MEANING) == _TEXT or _NEW_TEXT in leaf.facts.get(_NEW_MEANING, ())


def _needed(chunk: Chunk) -> Iterator[int]:
    """The bytes that a chunk takes, page by page."""
    leaf, kind = chunk.leaf, chunk.leaf.facts[1]
    width, times, longest = (_NUMBER if kind < _BYTES else _WORD), 1, 0
    if leaf.nested or (kind >= _BYTES and not _is_text(leaf)):
        width, times = _OBJECT, _SHOWN
    if kind == _FIXED:
        width += times * max(0, leaf.facts[2])
    for page in chunk.pages():
        yield times * page.size
        if page.dictionary:
            longest = chunk.longest_word(page) if kind == _BYTES else 0
        else:
            each = longest if page.worded else chunk.longest_prefixed(page)
            yield page.values * (width + times * each)
