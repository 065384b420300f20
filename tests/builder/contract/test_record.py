import json
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from builder.contract import CheckError
from builder.contract.record import (
    MAX_DEPTH,
    MAX_PARTS,
    Count,
    as_record,
    parse_json,
    printable,
    read_bytes,
    read_record,
    to_json,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    share: tuple[int, int]
    side: Annotated[int, Meta(ge=1, le=8)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner
    rows: Count
    names: tuple[str, ...]
    word: Literal["jpg", "png"]
    loss: float | None


GOOD = {
    "inner": {"share": [1, 2], "side": 8},
    "rows": 3,
    "names": ["a", "b"],
    "word": "jpg",
    "loss": None,
}


def test_a_record_comes_back_from_its_own_json(tmp_path: Path) -> None:
    record = as_record(GOOD, Outer, "x")
    assert record.inner == Inner(share=(1, 2), side=8)
    (tmp_path / "x.json").write_text(to_json(record))
    assert read_record(tmp_path / "x.json", Outer) == record
    assert json.loads(to_json(record)) == GOOD
    assert as_record(GOOD | {"loss": 1}, Outer, "x").loss == 1


BAD: dict[str, tuple[dict[str, object], str]] = {
    "text for a number": ({"rows": "3"}, "expected a whole number, got text at rows"),
    "true for a number": ({"rows": True}, "expected a whole number, got true or false at rows"),
    "a fraction": ({"rows": 1.5}, "expected a whole number, got a number at rows"),
    "negative": ({"rows": -1}, "expected a whole number of at least 0 at rows"),
    "huge": ({"rows": 10**40}, "of at most 4611686018427387903 at rows"),
    "out of range": ({"inner": {"share": [1, 2], "side": 9}}, r"at most 8 at inner\.side"),
    "too long": ({"inner": {"share": [1, 2, 3], "side": 1}}, r"length 2, got 3 at inner\.share"),
    "no list": ({"names": "ab"}, "expected a list, got text at names"),
    "another word": ({"word": "gif"}, "unknown word 'gif' at word"),
    "neither": ({"loss": "high"}, "expected a number or null, got text at loss"),
    "unknown": ({"password": 1}, "password is no field that it may have"),
    "no name": ({"": 1}, "a name without letters is no field that it may have"),
    "unknown, below": (
        {"inner": {"share": [1, 2], "side": 1, "x": 0}},
        r"inner\.x is no field that it may have",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_with_its_place(case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(CheckError, match=rf"^x\.json is refused: .*{message}\.$"):
        as_record(GOOD | change, Outer, "x.json")


def test_a_missing_field_is_named() -> None:
    raw = {name: value for name, value in GOOD.items() if name != "rows"}
    with pytest.raises(CheckError, match=r"it has no field rows\.$"):
        as_record(raw, Outer, "x.json")


def test_further_fields_pass_where_a_record_is_open() -> None:
    assert as_record(GOOD | {"later": 1}, Outer, "x", exact=False) == as_record(GOOD, Outer, "x")


def test_a_hostile_name_is_shown_short_and_plain() -> None:
    with pytest.raises(CheckError) as caught:
        as_record(GOOD | {"\x1b[31m" * 1000: 1}, Outer, "x.json")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x is not valid JSON"),
        ("{", "x is not valid JSON"),
        ("\\", "x is not valid JSON"),
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ('{"a": 1e999}', "a number is too large"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deeply"),
        ("9" * 5000, "a number is too large"),
        ("1" + "0" * 400, "a number is too large"),
        ('{"a": "\\ud800"}', "x is not valid JSON"),
        ('["\\uD83D", "\\uDE00"]', "x is not valid JSON"),
    ],
)
def test_json_that_is_no_plain_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(CheckError, match=message) as caught:
        parse_json(text.encode(), "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b'{"a": "\xff"}', b'"\xed\xa0\x80"', '"a"'.encode("utf-16")])
def test_bytes_that_are_no_utf8_are_refused(data: bytes) -> None:
    with pytest.raises(CheckError, match="x is not valid JSON"):
        parse_json(data, "x")


def test_letters_beyond_16_bits_pass_in_either_spelling() -> None:
    both = "\N{GRINNING FACE}", json.dumps("\N{GRINNING FACE}")
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}  # with a byte order mark
    assert [parse_json(text.encode(), "x") for text in (f'"{both[0]}"', both[1])] == [both[0]] * 2


MANY = {
    "empty lists": b"[" + b"[]," * 5_000_000 + b"0]",
    "objects": b"[" + b'{"a":0},' * 2_000_000 + b"0]",
    "a long text of wide letters": b'"' + b"a" * (15 << 20) + "\N{GRINNING FACE}".encode() + b'"',
    "more bytes than any": b'"' + b"a" * (20 << 20) + b'"',
    "just bearable": b"[" + b'{"a":0},' * (MAX_PARTS // 3 - 10) + b"0]",
}


@pytest.mark.parametrize("case", MANY)
def test_values_by_the_million_are_refused_before_they_are_made(
    case: str, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    with bearable(), suppress(CheckError):
        as_record(parse_json(MANY[case], "x"), Outer, "x")


def test_json_as_deep_as_allowed_passes() -> None:
    raw = parse_json(("[" * MAX_DEPTH + "]" * MAX_DEPTH).encode(), "x")
    assert isinstance(raw, list)
    assert parse_json(b'"word"', "x") == "word"


def test_a_file_is_read_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(CheckError, match="larger than the 4 bytes"):
        read_bytes(path, 4)
    with pytest.raises(CheckError, match="is not a file"):
        read_bytes(tmp_path, 4)
    with pytest.raises(CheckError, match=r"Cannot read .*absent: No such file"):
        read_bytes(tmp_path / "absent", 4)


def test_printable_text_is_left_as_it_is() -> None:
    assert printable("épaississement") == "épaississement"
    assert printable("a\x1b[0m\nb") == "a�[0m�b"
    assert printable("x" * 100) == "x" * 80 + "…"
