"""A column of texts that stays in the bytes it was read in, and looks like an array of str.

A Python string of 20 letters takes 70 bytes, and eight more in an array. In a column of Arrow it
takes its letters and eight bytes, so an index of a hundred million rows fits into memory.
"""

from collections.abc import Iterator
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Strings = npt.NDArray[np.object_]

_ROWS = 1 << 16  # that are made str at a time


class Texts:
    """N texts. Strings are made of those alone that are asked for."""

    __slots__ = ("_column",)

    def __init__(self, column: Any) -> None:
        """The texts of a pyarrow array or chunked array, none of which is null."""
        import pyarrow as pa

        whole = column.cast(pa.large_string())  # its offsets have 64 bits
        self._column = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole

    def __len__(self) -> int:
        """How many there are."""
        return len(self._column)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> str: ...

    @overload
    def __getitem__(self, rows: slice | npt.NDArray[Any] | list[int]) -> Strings: ...

    def __getitem__(self, rows: Any) -> str | Strings:
        """One text; an array of str for a slice, numbers of rows, or a mask bool [N]."""
        if isinstance(rows, int | np.integer):
            place = range(len(self))[int(rows)]
            text: str = self._column[place].as_py()
            return text
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            if step == 1:
                return _strings(self._column.slice(first, max(last - first, 0)))
            rows = np.arange(first, last, step)
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if len(rows) != len(self):
                raise IndexError(f"a mask of {len(rows)} for {len(self)} texts")
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + len(self), rows).astype(np.int64)
        return _strings(self._column.take(rows))

    def __iter__(self) -> Iterator[str]:
        """All of them in order."""
        for start in range(0, len(self), _ROWS):
            yield from self._column.slice(start, _ROWS).to_pylist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All of them, as numpy asks for them."""
        if copy is False:
            raise ValueError("texts cannot be an array without a copy")
        return self[:].astype(dtype or object, copy=False)

    def __eq__(self, other: object) -> Any:
        """bool [N], as of an array."""
        return np.asarray(self) == (np.asarray(other) if isinstance(other, Texts) else other)

    __hash__ = None  # type: ignore[assignment]

    def tolist(self) -> list[str]:
        """All of them."""
        return [*self]

    def are_distinct(self) -> bool:
        """Whether no text comes twice."""
        import pyarrow.compute as pc

        groups = self._groups()
        for group in np.unique(groups):  # one after another: a count takes 160 bytes for a text
            some = self._column.filter(groups == group)
            if pc.count_distinct(some).as_py() < len(some):
                return False
        return True

    def _groups(self) -> npt.NDArray[np.uint8]:
        """A number for each text, the same for equal ones: by its length and its last letter."""
        _, offsets, letters = self._column.buffers()
        start = self._column.offset
        ends = np.frombuffer(offsets, np.int64, len(self) + 1, 8 * start)
        length = np.diff(ends)
        groups = length.astype(np.uint8)
        has = length > 0
        groups[has] += 7 * np.frombuffer(letters, np.uint8)[ends[1:][has] - 1]
        return groups

    def first_unlike(self, pattern: str) -> str | None:
        """The first text that the pattern does not match from end to end, if there is one."""
        import pyarrow.compute as pc

        found = pc.index(pc.match_substring_regex(self._column, rf"\A(?:{pattern})\z"), False)
        place: int = found.as_py()
        return None if place < 0 else self[place]


def _strings(column: Any) -> Strings:
    found: Strings = column.to_numpy(zero_copy_only=False)
    return found
