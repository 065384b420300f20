"""A table of patients, as it stands on disk → what of it must not be in a release.

No reader of a dataset is asked: whatever a table's columns are called, each of its cells counts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from builder.contract import UsageError
from builder.labels.dialect import SEPARATORS, TableText, read_text, records
from builder.progress import Progress
from builder.share.leaks import LONG, Forbidden, bare, even, names_of, parts_of
from builder.share.people import People, TableFacts, is_person, no_people, people_in, taken

_NOBODY = frozenset(  # what stands where a patient is not named
    {"anonymised", "anonymized", "anonymous", "missing", "nan", "none", "null", "unknown"}
)
_MIN_WORD = 6  # characters; a shorter cell is a word, a count or a label
_NUMBER = re.compile(r"-?\d*\.\d*")
_STEP = 10_000  # rows between two looks of the progress bar
_COMMON = 20  # rows, or a hundredth of them: what more rows share singles nobody out


def read_tables(
    paths: Sequence[Path], told: TableFacts, progress: Progress
) -> tuple[Forbidden, tuple[str, ...]]:
    """What the tables must not give away, and a note for each that says how patients were found.

    `told` is what the dataset tells of its own table. UsageError where one is no table, has no row,
    or no column that is known to name patients.
    """
    cells: Counter[str] = Counter()
    patients: set[str] = set()
    texts: set[str] = set()
    rows, notes = 0, []
    for path in paths:
        text, people = _table(path, told)
        notes.append(taken(path.name, text.header, people))
        before = rows
        with progress(f"reading {path.name}", text.data.count(b"\n"), "rows") as advance:
            for _, row in records(text):
                cells.update(cell for cell in row if len(cell) >= _MIN_WORD)
                patients.update(people.of(row))
                texts.update(even(mark.join(row)) for mark in {",", text.separator})
                rows += 1
                if rows % _STEP == 0:
                    advance(_STEP)
        if rows == before:
            raise UsageError(f"{path} has a header but no row.")
    patients = {patient for patient in patients if patient.casefold() not in _NOBODY}
    most = max(_COMMON, rows // 100)
    words = _words(cells)
    forbidden = Forbidden(
        words=frozenset(
            {*(word for word, count in words.items() if count <= most), *_long(patients)}
        ),
        names=frozenset(name for patient in patients for name in names_of(patient)),
        patients=frozenset(bare(patient) for patient in patients if patient),
        texts=frozenset({*filter(_tells, texts), *_reports(cells, most)}),
        rows=rows,
    )
    return forbidden, tuple(notes)


def _table(path: Path, told: TableFacts) -> tuple[TableText, People]:
    """The text of a table and where it names patients; UsageError where that is not known."""
    text = read_text(path, told.names)
    if (people := people_in(text.header, told)) is not None:
        return text, people
    # Another separator may be the right one: of those, the names of persons in the header tell.
    cells = re.split("[" + "".join(SEPARATORS) + "]", text.separator.join(text.header))
    text = read_text(path, [cell for cell in cells if is_person(cell)])
    if (people := people_in(text.header, told)) is None:
        raise UsageError(no_people(str(path), text.header))
    return text, people


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
