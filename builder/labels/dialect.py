"""The bytes of a table → its text, its header and its cells, whatever program saved it.

Nothing is guessed from the rows: the encoding follows from the bytes, the separator from the names
in the header.
"""

import bz2
import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from builder.contract import CheckError, UsageError, printable
from builder.contract.paths import open_file

if TYPE_CHECKING:
    from _csv import Reader

SEPARATORS = (",", ";", "\t", "|")
PARQUET = b"PAR1"
_HEADER_BYTES = 1 << 20  # a header is shorter than this
_LONGEST = 200  # bytes in which a file says what it is
_FREE, _MAX_RATIO = 64 << 20, 100  # bytes a table may become, and more for each stored one
_PIECE = 1 << 20  # bytes that are decompressed at once
_CELL, _ENDS = 16, (b",", b";", b"\t", b"|", b"\n", b"\r")  # bytes of a cell beside its text
_MAX_CELL = 1 << 24  # characters; Python's own limit is 131,072
# A letter in UTF-8; in Windows-1252 it would be a capital or two with signs, which nobody writes.
_LETTER = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_SAID = re.compile(r'"?sep=([,;|:#~^\t ])"?\s*$', re.IGNORECASE)  # Excel's own first line
_SAVE = "save it as CSV UTF-8"
_NO_TABLES = {  # how files begin that are no text; parquet is read elsewhere
    b"\xd0\xcf\x11\xe0": f"is an Excel workbook: {_SAVE}",
    b"\xfd7zXZ": "is compressed by xz: decompress it, or use gzip",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd: decompress it, or use gzip",
    b"7z\xbc\xaf": "is a 7z archive: unpack it",
    b"Rar!": "is a RAR archive: unpack it",
    b"version https://git-lfs": "is a Git LFS pointer, not the table: run git lfs pull",
    b"%PDF": f"is a PDF file: {_SAVE}",
    b"<": f"is a web page or XML, not a table: download the file itself, or {_SAVE}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableText:
    """A table before its cells are read."""

    path: Path
    separator: str
    header: tuple[str, ...]  # the names as they stand, trailing empty ones left out
    data: bytes  # UTF-8
    start: int  # of what follows the header
    first_line: int  # the line on which the body starts, counted from 1

    @property
    def body(self) -> memoryview:
        """What follows the header."""
        return memoryview(self.data)[self.start :]


def plain(name: str) -> str:
    """The name of a column for comparing: capitals and blanks do not count."""
    return " ".join(name.split()).casefold()


def begins_with(path: Path, start: bytes, advice: str = "check --labels") -> bool:
    """Whether the file begins so; UsageError, with the advice, where it cannot be read."""
    try:
        with open_file(path) as file:
            return file.read(len(start)) == start
    except CheckError:
        why = "Is a directory" if path.is_dir() else "it is a pipe or device: write it to a file"
    except OSError as error:
        why = f"{error.strerror}"
    raise UsageError(f"Cannot read the table {path} ({why}): {advice}.")


def allowed_bytes(stored: int) -> int:
    """How many bytes a compressed table of `stored` bytes may become."""
    return _FREE + _MAX_RATIO * stored


def read_text(path: Path, names: Collection[str] = ()) -> TableText:
    """The text of a table, decompressed and decoded; `names` are columns that it may have.

    Raises UsageError for a file that is missing, damaged, empty or no text.
    """
    data = _utf8(path, _decompressed(path))
    head = data[:_HEADER_BYTES].decode(errors="replace")
    before, said = _before_header(head)
    head = head[sum(map(len, before)) :]
    if not head:
        raise UsageError(f"{path} is empty.")
    separator = said or _separator(head, {plain(name) for name in names})
    cells, lines = _first_record(head, separator)
    header = [cell.strip() for cell in cells]
    while header and not header[-1]:
        header.pop()
    return TableText(
        path=path,
        separator=separator,
        header=tuple(header),
        data=data,
        start=sum(len(line.encode()) for line in (*before, *lines)),
        first_line=1 + len(before) + len(lines),
    )


def _before_header(head: str) -> tuple[list[str], str]:
    """The lines before the header, blank ones and Excel's `sep=;`, and the separator it says."""
    before, said = [], ""
    for line in io.StringIO(head, newline=""):
        match = None if said else _SAID.match(line)
        if match:
            said = match[1]
        elif line.strip():
            break
        before.append(line)
    return before, said


def first_row(text: TableText) -> list[str]:
    """The cells of the first row, or nothing; quick, and not strict about quotation marks."""
    head = text.data[text.start : text.start + _HEADER_BYTES].decode(errors="replace")
    rows = _reader(io.StringIO(head, newline=""), text.separator)
    return next((cells for cells in rows if any(cells)), [])


def records(text: TableText) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row that is not blank; UsageError where quotation marks are wrong."""
    body = io.StringIO(bytes(text.body).decode(), newline="")
    rows = _reader(body, text.separator, strict=True)
    line = text.first_line
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(f"{text.path}, line {line}: {_explained(error)}.") from None
        if any(cell.strip() for cell in cells):
            yield line, cells
        line = text.first_line + rows.line_num


def well_quoted(text: TableText) -> bool:
    """Whether every quoted cell opens and closes at the edge of a cell; cells may hold lines."""
    if b'"' not in text.data:
        return True
    body = np.frombuffer(text.body, dtype=np.uint8)
    marks = np.flatnonzero(body == ord('"'))
    if not len(marks):
        return True
    apart = np.diff(marks) > 1
    starts, ends = marks[np.r_[True, apart]], marks[np.r_[apart, True]]  # of runs of marks
    inside = np.cumsum(ends - starts + 1) % 2 == 1  # after each run
    was_inside = np.r_[False, inside[:-1]]
    edge = np.zeros(256, dtype=np.bool_)
    edge[[ord(text.separator), ord("\n"), ord("\r")]] = True
    opens = (starts == 0) | edge[body[starts - 1]]
    closes = (ends == len(body) - 1) | edge[body[np.minimum(ends + 1, len(body) - 1)]]
    good = np.where(was_inside, inside | closes, opens & (inside | closes))
    return bool(good.all()) and not inside[-1]


def _explained(error: csv.Error) -> str:
    """What is wrong with a row, from the words of Python's reader."""
    if "unexpected end" in str(error):
        return "a quotation mark opens here and is never closed"
    if "expected after" in str(error):
        return "text follows a closing quotation mark (inside a cell, double it)"
    return f"the row cannot be read ({printable(str(error))})"


def _reader(lines: Iterable[str], separator: str, *, strict: bool = False) -> "Reader":
    csv.field_size_limit(_MAX_CELL)
    return csv.reader(lines, delimiter=separator, strict=strict)


def _first_record(head: str, separator: str) -> tuple[list[str], list[str]]:
    """The cells of the first record and the lines that it fills."""
    used: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(head, newline=""):
            used.append(line)
            yield line

    return next(_reader(lines(), separator), []), used


def _separator(head: str, names: set[str]) -> str:
    """The separator by which the header has most of the names; else by which it has most cells."""

    def rank(separator: str) -> tuple[int, int]:
        cells = [plain(cell) for cell in _first_record(head, separator)[0]]
        return len(names.intersection(cells)), len(cells)

    return max(SEPARATORS, key=rank)


def _decompressed(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(data)) as file:
                data = _bounded(path, file, len(data))
        elif data.startswith(b"BZh"):
            with bz2.open(io.BytesIO(data)) as file:
                data = _bounded(path, file, len(data))
        elif data.startswith(b"PK\x03\x04"):
            data = _unzipped(path, data)
    except (
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")
        raise UsageError(f"Cannot read the table {path}: {why}.") from None
    if data[257:262] == b"ustar":
        raise UsageError(f"{path} is a tar archive: unpack it and name the table.")
    head = data[:_LONGEST].lstrip().lower()
    for start, what in _NO_TABLES.items():
        if head.startswith(start.lower()):
            raise UsageError(f"{path} {what}.")
    return data


def _unzipped(path: Path, data: bytes) -> bytes:
    """The one file of a zip archive; Excel's and LibreOffice's files are archives, too."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if "[Content_Types].xml" in names:
            raise UsageError(f"{path} is an Excel workbook: {_SAVE}.")
        if "mimetype" in names:
            raise UsageError(f"{path} is an OpenDocument file: {_SAVE}.")
        files = [n for n in names if not n.endswith("/") and not n.startswith("__MACOSX/")]
        if len(files) != 1:
            raise UsageError(f"{path} holds {len(files)} files: unpack it and name the table.")
        if archive.getinfo(files[0]).flag_bits & 1:
            raise UsageError(f"{path} has a password: unpack it.")
        with archive.open(files[0]) as file:
            return _bounded(path, file, len(data))


def _bounded(path: Path, file: IO[bytes] | gzip.GzipFile, stored: int) -> bytes:
    """All that an open file holds; UsageError where that is more than tables of text come to."""
    most, parts, size = allowed_bytes(stored), list[bytes](), 0
    while part := file.read(_PIECE):
        parts.append(part)
        size += len(part) + _CELL * sum(map(part.count, _ENDS))
        if size > most:
            raise UsageError(
                f"{path} is refused: its {stored:,} bytes decompress to more than {most:,} bytes of"
                " cells, which no table of labels does; decompress it yourself if you trust it."
            )
    return b"".join(parts)


def _utf8(path: Path, data: bytes) -> bytes:
    """The text as UTF-8 without byte order mark: from UTF-8, UTF-16 or Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError:
            raise UsageError(f"{path} is damaged UTF-16: {_SAVE}.") from None
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data:
        raise UsageError(f"{path} is not a text file (a byte of it is 0): {_SAVE}.")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return _from_windows(path, data, error.start)
    return data


def _from_windows(path: Path, data: bytes, start: int) -> bytes:
    """Windows-1252 as UTF-8; UsageError where the bytes may be anything else."""
    try:
        if _LETTER.search(data):
            raise UnicodeError
        return data.decode("cp1252").encode()
    except UnicodeError:
        line = len(re.split(rb"\r\n|\r|\n", data[:start]))
        found = printable(repr(data[max(0, start - 10) : start + 10]))
        raise UsageError(
            f"{path}, line {line}: {found} is neither UTF-8 nor Windows-1252: {_SAVE}."
        ) from None
