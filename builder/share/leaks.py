"""What must not leave in a release: patients, paths, ages, clock times, rows of a table, images.

The shards are compared with what the pipeline writes (see `shards`), which leaves no place for a
stranger's text. This is the scan of everything else: every text, every JSON value, every cell.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from builder.contract import printable
from builder.contract.record import parse_json

_ROOTS = "home|Users|root|tmp|mnt|media|data|scratch|work|var|opt|srv|gpfs|lustre|net|nfs|etc|usr"
_START, _END = "(?<![A-Za-z0-9])", "(?![A-Za-z0-9])"  # of a word, also next to an underscore
_BAND = (  # behind an age that is one of a group
    r"[-–+](?![A-Za-z])| ?[-–] ?\d"
    r"|(?: years?)? (?:to|and|or) (?:\d|older|over|above|more|younger|under|below)"
)
_PATTERNS = (  # what it is, and how it looks
    (
        "an absolute path",  # a slash in a relative path, of a URL or of </closing> is none
        rf"(?<![\w.\\~)\]}}])(?<!:/)(?!(?<=<)/\w+>)/(?:(?:[\w.@+-]+/)+[\w.@+-]*|(?:{_ROOTS})\b)",
    ),
    ("an absolute path", r"(?<![A-Za-z])[A-Za-z]:[\\/](?!/)[\w\\]|\\\\\w[\w.-]*\\[\w$]|file://"),
    ("a path in somebody's home", r"(?<![\w/])~\w*/\w"),
    ("a clock time", r"\d{4}-\d\d?-\d\d?(?:T| +)\d\d?:\d\d"),
    ("the age of a person", rf"(?i){_START}\d{{1,3}}[- ]?(?:years?|yrs?|y)[- ]old{_END}"),
    (
        "the age of a person",
        rf"(?i){_START}\d{{1,3}}[- ]?y\.?/?o{_END}|{_START}\d{{1,3}}(?-i:Y){_END}",
    ),
    ("the age of a person", rf"(?i){_START}age\W{{0,3}}[:=]\W{{0,3}}\d{{1,3}}\b"),
    ("the age of a person", rf"(?i){_START}aged?(?: of)? \d{{1,3}}{_END}(?!{_BAND})"),
    ("the key of a real image", rf"{_START}real-[0-9a-f]{{16}}{_END}"),  # with what is said of it
    ("the name of an NIH image", r"(?<!\d)\d{8}_\d{3}(?!\d)"),
    ("the number of a CheXpert patient", rf"(?i){_START}patient\d{{3,}}"),
    ("the number of a MIMIC patient or study", rf"{_START}(?:p1|s5)\d{{7}}{_END}"),
    ("the name of a MIMIC image", rf"{_START}[0-9a-f]{{8}}(?:-[0-9a-f]{{8}}){{4}}{_END}"),
    ("the name of a PadChest image", r"\d{20,}_\d\d-\d{3}-\d{3}"),
    ("the name of a VinDr-CXR image", r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"),
    (
        "the number of an RSNA patient",
        rf"{_START}[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}{_END}",
    ),
    ("a DICOM identifier", r"(?<![\d.])[0-2]\.\d+(?:\.\d+){5,}"),
    (
        "the number of a patient",
        rf"(?i){_START}(?:patient|subject|person|mrn)[ _-]*(?:id|no|nr)(?![A-Za-z])[\W_]*\d+",
    ),
    ("an image", r"data:image/|base64,"),
)
_SCANNED = tuple((what, re.compile(pattern)) for what, pattern in _PATTERNS)
_OWN_NAME = re.compile(r"(?i)(patient|subject|person)[ _-]?(id|name|age|sex|no|number)?|age|mrn")
_COUNTED = ("filesize", "nsamples", "rows", "patients", "seed", "size", "contentSize")
_MEDIA = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"II*\0",
    b"MM\0*",
)
_WORD = re.compile(r"[\w./\\:+-]+")
_PATIENT_NUMBER = re.compile(
    rf"(?i){_START}(?:patient|subject|person|case)s?[ _#:=-]{{1,3}}(?=(\w+))"
)
_PIECE = re.compile(r"[^\W_]+")
_MAX_PIECES = 5  # of a name; what comes behind them is not compared
_MIN_NAME = 3  # letters and digits of one
_ANY_CASE = 6  # letters and digits from which a name is no word of a sentence
LONG = 40  # characters from which a cell counts as a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """What a table of patients must not give away."""

    words: frozenset[str] = frozenset()  # names, numbers and dates that single out a row
    names: frozenset[str] = frozenset()  # patients with a letter, as `names_of` writes them
    patients: frozenset[str] = frozenset()  # numbers too short to be told from a count
    texts: frozenset[str] = frozenset()  # whole rows, and long cells such as reports
    rows: int = 0


def text_leaks(text: str, where: str, forbidden: Forbidden = Forbidden()) -> Iterator[str]:
    """The leaks in a text, a sentence for each kind; `where` names its file."""
    for kind, sign in _kinds_of(text, forbidden):
        yield f"{where} holds {kind}: {printable(repr(sign))}"


def json_leaks(data: bytes, where: str, forbidden: Forbidden = Forbidden()) -> Iterator[str]:
    """The leaks in a JSON text: in its keys and words, and values whose key names a person."""
    for key, value in _pairs(parse_json(data, where)):
        place = f"{where} ({printable(key, 40)})" if key else where
        if isinstance(value, str) and key not in _COUNTED:
            yield from text_leaks(value, place, forbidden)
        elif isinstance(value, int) and key not in _COUNTED and str(value) in forbidden.words:
            yield f"{place} holds what singles out a row of the table: {value}"
        if _OWN_NAME.fullmatch(key) and not isinstance(value, dict | list) and value != "":
            yield f"{where} holds a value of the field {printable(repr(key))}, which is a person's"


def parquet_leaks(
    data: bytes, where: str, forbidden: Forbidden = Forbidden(), checked: Sequence[str] = ()
) -> Iterator[str]:
    """The leaks in a parquet file: its column names, its notes, its words.

    The words of the columns `checked` were compared with a pattern that leaves no place for one.
    """
    # Threads of Arrow's that still hold Python's bytes at exit abort the process (arrow 34314).
    table = pq.read_table(pa.BufferReader(data), use_threads=False, pre_buffer=False)
    for key, value in (table.schema.metadata or {}).items():
        yield from text_leaks(f"{key.decode()} {value.decode()}", where, forbidden)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        text_like = pa.types.is_string(column.type) and name not in checked
        words = set(column.to_pylist()) - {""} if text_like else set()
        if _OWN_NAME.fullmatch(name) and (words or not pa.types.is_string(column.type)):
            yield f"{where} has the column {printable(repr(name))}, which is a person's"
        text = "\n".join(sorted(words))
        yield from text_leaks(text, f"{where}, column {name}", forbidden)


def image_leak(data: bytes, where: str) -> Iterator[str]:
    """A sentence where a file that must be text is an image, a DICOM file or an archive."""
    if data.startswith(_MEDIA) or data[128:132] == b"DICM":
        yield f"{where} is an image or an archive, where a text must be"


def _kinds_of(text: str, forbidden: Forbidden) -> Iterator[tuple[str, str]]:
    for what, pattern in _SCANNED:
        if found := pattern.search(text):
            yield what, found[0]
    if not forbidden.rows:
        return
    if word := next((w for w in _words(text) if w in forbidden.words), None):
        yield "what singles out a row of the table", word
    if forbidden.names and (name := next(_names_in(text, forbidden.names), None)):
        yield "the name of a patient of the table", name
    numbers = (found[1] for found in _PATIENT_NUMBER.finditer(text))
    if number := next((n for n in numbers if bare(n) in forbidden.patients), None):
        yield "the number of a patient of the table", number
    if line := next((s for s in map(even, text.splitlines()) if s in forbidden.texts), None):
        yield "a row of the table, or a text in it", line


def _pairs(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Each value of a JSON text with its key, and each key as a value without one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield "", name
            yield from _pairs(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(inner, key)
    else:
        yield key, value


def _words(text: str) -> Iterator[str]:
    """The words of a text, with the parts that a name may hide in."""
    for found in _WORD.finditer(text):
        yield from parts_of(found[0].strip(".,:"))


def parts_of(word: str) -> Iterator[str]:
    """A word, each part of it as a path, these without their extension, and its plain pieces."""
    yield word
    for part in re.split(r"[/\\]", word):
        yield part
        yield part.rpartition(".")[0]
    for piece in re.split(r"[^A-Za-z0-9]", word):
        yield piece
        yield piece.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def names_of(patient: str) -> Iterator[str]:
    """A patient's name or number with letters, in both orders; nothing where it is too short."""
    pieces = _pieces(patient)[:_MAX_PIECES]
    for order in (pieces, [*pieces[1:], *pieces[:1]]):
        name = _cased(" ".join(order))
        if len(name) >= _MIN_NAME and any(map(str.isalpha, name)):
            yield name


def _names_in(text: str, names: frozenset[str]) -> Iterator[str]:
    """The names of patients in a text, as whole words."""
    pieces = _pieces(text)
    for start in range(len(pieces)):
        for stop in range(start + 1, min(start + _MAX_PIECES, len(pieces)) + 1):
            name = " ".join(pieces[start:stop])
            if _cased(name) in names:
                yield name


def _pieces(text: str) -> list[str]:
    return _PIECE.findall(unicodedata.normalize("NFKC", text))


def _cased(name: str) -> str:
    """A name whatever its case; a short one as it stands: `Long` is a name, `long` a word."""
    return name if len(name) < _ANY_CASE else name.casefold()


def bare(number: str) -> str:
    """A patient's number without the zeros in front of it."""
    return number.lstrip("0")


def even(line: str) -> str:
    """A line with single blanks."""
    return " ".join(line.split())
