"""JSON from strangers into records, every field checked; and records into JSON.

A record is a frozen dataclass whose annotations are its schema: types, ranges and patterns are all
that is needed to refuse a file in one sentence. One reader serves manifests, reports, configs and
weights, so that none of them is stricter or laxer than the others.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from builder.contract.errors import CheckError, printable

MAX_JSON = 16 << 20  # bytes of a text; a manifest of 60,000 shards
MAX_DEPTH = 64  # of lists and objects within each other
MAX_PARTS = 1_000_000  # of these signs, one or more for each value: a byte may become 60
_SIGNS_OF_PARTS = (b",", b":", b"[", b"{")
_MAX_DIGITS = 300  # of a whole number: a float holds it

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]

_WORDS = {  # msgspec's words for a kind of value
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_SIGNS = {" >= ": " of at least ", " <= ": " of at most ", " > ": " above ", " < ": " below "}
_SIGNS |= {"Invalid enum value": "unknown word", "Object missing required": "it has no"}
_SIGNS |= {" matching regex ": " of the form "}
_HALF_LETTER = re.compile(rb"\\u[dD][89a-fA-F]")  # a surrogate, which no UTF-8 has by itself

T = TypeVar("T")


def read_record(path: Path, kind: type[T], *, max_bytes: int = MAX_JSON, exact: bool = True) -> T:
    """The record of that kind in the JSON file `path`; CheckError says what is wrong with it."""
    return as_record(parse_json(read_bytes(path, max_bytes), str(path)), kind, str(path), exact)


def read_bytes(path: Path, max_bytes: int = MAX_JSON) -> bytes:
    """The bytes of a file that may have `max_bytes`; CheckError where it is larger or no file."""
    if path.exists() and not path.is_file():
        raise CheckError(f"{path} is not a file.")
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise CheckError(f"Cannot read {path}: {error.strerror}.") from None
    if len(data) > max_bytes:
        raise CheckError(f"{path} is larger than the {max_bytes:,} bytes that it may have.")
    return data


def parse_json(data: bytes, what: str) -> Any:
    """The value of a JSON text in UTF-8: finite numbers, no key twice, at most MAX_DEPTH deep.

    `what` names the text in the CheckError. Its size is known to be bearable before it is parsed.
    """
    if not is_bearable(data):
        raise CheckError(
            f"{what} is refused: it has more than {MAX_JSON:,} bytes or {MAX_PARTS:,} values."
        )
    try:
        raw = json.loads(
            data.decode("utf-8-sig"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_unique,
        )
        if _holds(raw) and _deeper(raw, MAX_DEPTH):
            raise RecursionError
        if _HALF_LETTER.search(data):
            json.dumps(raw, ensure_ascii=False).encode()
    except RecursionError:
        raise CheckError(
            f"{what} is refused: its lists and objects are nested too deeply."
        ) from None
    except ValueError as error:
        reason = "" if isinstance(error, json.JSONDecodeError | UnicodeError) else f" ({error})"
        raise CheckError(f"{what} is not valid JSON{reason}.") from None
    return raw


def is_bearable(data: bytes) -> bool:
    """Whether a JSON text is small enough to be parsed."""
    return len(data) <= MAX_JSON and sum(map(data.count, _SIGNS_OF_PARTS)) <= MAX_PARTS


def as_record(raw: object, kind: type[T], what: str, exact: bool = True) -> T:
    """The record of that kind in a value of JSON; CheckError names the field that is wrong.

    `exact`: a field that the record does not have is refused, too.
    """
    try:
        record = msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        raise CheckError(f"{what} is refused: {_plain(str(error))}.") from None
    if exact and (extra := _unknown(raw, msgspec.to_builtins(record))) is not None:
        raise CheckError(f"{what} is refused: {printable(extra)} is no field that it may have.")
    return record


def to_json(record: object) -> str:
    """The JSON text of a record, its fields in the order in which they are declared."""
    return json.dumps(msgspec.to_builtins(record), indent=2) + "\n"


def _plain(message: str) -> str:
    """msgspec's message as part of a sentence."""
    said, _, where = message.partition(" - at `")
    said = re.sub(r"`([a-z_ |]+)`", lambda found: _kinds(found[1]), said)
    for sign, words in _SIGNS.items():
        said = said.replace(sign, words)
    place = where.rstrip("`").removeprefix("$").removeprefix(".")
    return printable(said[0].lower() + said[1:] + (f" at {place}" if place else ""), 200)


def _kinds(words: str) -> str:
    """The kinds of value that msgspec names, in plain words."""
    return " or ".join(_WORDS.get(word, word) for word in words.split(" | "))


def _unknown(raw: object, known: object, place: str = "") -> str | None:
    """Where `raw` has a field that `known` has not; None where it has none."""
    if isinstance(raw, dict) and isinstance(known, dict):
        if (extra := next((name for name in raw if name not in known), None)) is not None:
            return f"{place}{extra or 'a name without letters'}"
        found = (_unknown(raw[name], known[name], f"{place}{name}.") for name in raw)
    elif isinstance(raw, list) and isinstance(known, list | tuple):
        found = (_unknown(*pair, place) for pair in zip(raw, known, strict=True))
    else:
        return None
    return next((extra for extra in found if extra is not None), None)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _finite(word: str) -> float:
    number = float(word)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _whole(word: str) -> int:
    if len(word) > _MAX_DIGITS:  # to convert it takes time
        raise ValueError("a number is too large")
    return int(word)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _deeper(raw: object, depth: int) -> bool:
    """Whether lists and objects lie more than `depth` deep in each other."""
    level = [raw]
    for _ in range(depth):
        inner = [part.values() if isinstance(part, dict) else part for part in level]
        level = [p for part in inner if isinstance(part, Iterable) for p in part if _holds(p)]
        if not level:
            return False
    return True


def _holds(part: object) -> bool:
    return isinstance(part, dict | list)
