"""A table of patients, as it stands on disk → what of it must not be in a release.

No reader of a dataset is asked: whatever a table's columns are called, each of its cells counts.
"""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from builder.contract import UsageError, printable
from builder.progress import Advance, Progress
from builder.share.leaks import LONG, Forbidden, bare, even, names_of, parts_of

_PERSON = re.compile(
    r"(?i)[\W_]*(?:(?:patient|subject|person|mrn)s?[\W_]*(?:id|no|nr|number|name|code)?"
    r"|(?:full|last|family|sur)?[\W_]*name)[\W_]*"
)
_NOBODY = frozenset(  # what stands where a patient is not named
    {"anonymised", "anonymized", "anonymous", "missing", "nan", "none", "null", "unknown"}
)
_MIN_WORD = 6  # characters; a shorter cell is a word, a count or a label
_NUMBER = re.compile(r"-?\d*\.\d*")
_STEP = 10_000  # rows between two looks of the progress bar
_COMMON = 20  # rows, or a hundredth of them: what more rows share singles nobody out


def read_tables(paths: Sequence[Path], progress: Progress) -> Forbidden:
    """What the tables must not give away; UsageError where one is no table."""
    cells: Counter[str] = Counter()
    patients: set[str] = set()
    texts: set[str] = set()
    rows = 0
    for path in paths:
        text = _text_of(path)
        with progress(f"reading {path.name}", text.count("\n"), "rows") as advance:
            header, *body = _rows_of(text, path, advance)
        people = [i for i, name in enumerate(header) if _PERSON.fullmatch(name)]
        for row in body:
            cells.update(cell for cell in row if len(cell) >= _MIN_WORD)
            patients.update(row[i].strip() for i in people if i < len(row))
            texts.add(even(",".join(row)))
        rows += len(body)
    patients = {patient for patient in patients if patient.casefold() not in _NOBODY}
    most = max(_COMMON, rows // 100)
    words = _words(cells)
    return Forbidden(
        words=frozenset(
            {*(word for word, count in words.items() if count <= most), *_long(patients)}
        ),
        names=frozenset(name for patient in patients for name in names_of(patient)),
        patients=frozenset(bare(patient) for patient in patients if patient),
        texts=frozenset({*filter(_tells, texts), *_reports(cells, most)}),
        rows=rows,
    )


def _text_of(path: Path) -> str:
    """The text of a table, compressed or not."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        return data.decode("utf-8-sig")
    except UnicodeError:
        return data.decode("latin-1")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise UsageError(f"Cannot read the table {path}: {reason}.") from None


def _rows_of(text: str, path: Path, advance: Advance) -> Iterator[list[str]]:
    """The cells of a table; the first row is the header."""
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    if "\0" in text or mark not in first:
        raise UsageError(f"{path} is no table of text with a header: give a CSV file.")
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=mark), start=1):
            if row:
                yield row
            if number % _STEP == 0:
                advance(_STEP)
    except csv.Error as error:
        raise UsageError(f"{path} is no table of text: {printable(str(error))}.") from None


def _words(cells: Counter[str]) -> Counter[str]:
    """How many rows hold each word that may single one out."""
    words: Counter[str] = Counter()
    for cell, count in cells.items():
        if " " not in cell and any(map(str.isdigit, cell)):
            for part in {*filter(_singles_out, parts_of(cell))}:
                words[part] += count
    return words


def _long(patients: Iterable[str]) -> Iterator[str]:
    """The patients that no count looks like, however many images each of them has."""
    for patient in patients:
        if len(word := patient.removesuffix(".0")) >= _MIN_WORD:
            yield word


def _reports(cells: Counter[str], most: int) -> Iterator[str]:
    """The long texts of few rows, such as reports."""
    for cell, count in cells.items():
        if len(cell) >= LONG and " " in cell and count <= most:
            yield even(cell)


def _tells(row: str) -> bool:
    """Whether a row says more than a few labels."""
    return sum(map(str.isdigit, row)) > 1


def _singles_out(word: str) -> bool:
    return (
        len(word) >= _MIN_WORD
        and any(map(str.isdigit, word))
        and not (_NUMBER.fullmatch(word) and len(word) < 10)
    )
