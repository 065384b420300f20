"""Bytes → slightly other bytes: edits that know nothing, numbers, JSON, and what a format wraps.

An edit is plain data, so that hypothesis can draw and shrink it, and a seed can repeat it.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

MAX_BYTES = 1 << 18  # of a mutated input
RANGE = 1 << 16  # of the numbers in an edit
SIZES = (0, 1, 127, 128, 255, 256, 65_535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 62)
WORDS = ("-1", "0", "1e999", "NaN", "1" * 400, "0.1", "true", "", "=1+1", "\x1b[31m", "\u202e", "é")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2, 0.5, 1e308, 1 << 62, 1 << 64, 10**250, "", "..", "/etc/passwd"),
    *("a\nb", "\x1b[2J", "x" * 5000, [], {}, [[]], {"": ""}, [1] * 3000, "pipe:true", "\ud800"),
)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: its kind, and three numbers below RANGE that say where and how."""

    kind: str
    place: int
    size: int
    word: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a format that is changed by itself; `put` makes lengths and checksums agree."""

    take: Callable[[bytes], bytes]
    put: Callable[[bytes, bytes], bytes]


Others = Sequence[bytes]
Change = Callable[[bytes, Edit, Others], bytes]


def random_edit(random: Random) -> Edit:
    """Any edit; small places and sizes are likelier, because headers come first."""
    place, size, word = (random.randrange(RANGE) >> random.choice((0, 0, 6, 10)) for _ in range(3))
    return Edit(random.choice(KINDS), place, size, word)


def apply(data: bytes, edits: Sequence[Edit], others: Others, layers: Sequence[Layer]) -> bytes:
    """The data after all edits; `others` lend pieces. An edit that does not apply does nothing."""
    for edit in edits:
        if not edit.kind.startswith("inner "):
            data = CHANGES[edit.kind](data, edit, others)[:MAX_BYTES]
            continue
        if layers:
            layer = layers[edit.place % len(layers)]
            try:
                part = CHANGES[edit.kind.removeprefix("inner ")](layer.take(data), edit, ())
                data = layer.put(data, part)[:MAX_BYTES]
            except Exception:  # earlier edits broke the format
                continue
    return data


def _span(data: bytes, edit: Edit) -> tuple[int, int]:
    start = edit.place % (len(data) + 1)
    return start, min(len(data), start + 1 + edit.size % 64)


def _flip(data: bytes, edit: Edit, _: Others) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[edit.place % len(data)] ^= 1 << edit.word % 8
    return bytes(changed)


def _byte(data: bytes, edit: Edit, _: Others) -> bytes:
    start = edit.place % (len(data) + 1)
    return data[:start] + bytes([edit.word % 256]) + data[start + 1 :]


def _cut(data: bytes, edit: Edit, _: Others) -> bytes:
    start, stop = _span(data, edit)
    return data[:start] + data[stop:]


def _end(data: bytes, edit: Edit, _: Others) -> bytes:
    return data[: edit.place % (len(data) + 1)]


def _repeat(data: bytes, edit: Edit, _: Others) -> bytes:
    start, stop = _span(data, edit)
    return data[:stop] + data[start:stop] * (1 + edit.word % 300) + data[stop:]


def _insert(data: bytes, edit: Edit, _: Others) -> bytes:
    start = edit.place % (len(data) + 1)
    return data[:start] + Random(edit.word).randbytes(1 + edit.size % 32) + data[start:]


def _splice(data: bytes, edit: Edit, others: Others) -> bytes:
    other = others[edit.word % len(others)] if others else data
    start = edit.place % (len(data) + 1)
    there = edit.size % (len(other) + 1)
    return data[:start] + other[there:]


def _swap(data: bytes, edit: Edit, _: Others) -> bytes:
    start, stop = _span(data, edit)
    there = edit.word % (len(data) + 1)
    return data[:there] + data[start:stop] + data[there:start] + data[stop:]


def _size(data: bytes, edit: Edit, _: Others) -> bytes:
    """A field of 1, 2, 4 or 8 bytes says an unlikely number."""
    width, start = 1 << edit.size % 4, edit.place % (len(data) + 1)
    order = "big" if edit.size & 4 else "little"
    number = (*SIZES, len(data), len(data) - start)[edit.word % (len(SIZES) + 2)]
    return data[:start] + (number % 256**width).to_bytes(width, order) + data[start + width :]


def _number(data: bytes, edit: Edit, _: Others) -> bytes:
    """A number in a text becomes another word."""
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    start, stop = found[edit.place % len(found)].span()
    return data[:start] + WORDS[edit.word % len(WORDS)].encode() + data[stop:]


def _json(data: bytes, edit: Edit, _: Others) -> bytes:
    """A value of a JSON text is replaced, removed, repeated or buried."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = _places(raw) if isinstance(raw, dict | list) else []
    if not places:
        return data
    where, key = places[edit.place % len(places)]
    value, way = VALUES[edit.word % len(VALUES)], edit.size % 8
    if way == 0:
        del where[key]
    elif way == 1:
        for _ in range(3 + edit.word % 200):
            value = [value] if edit.word % 2 else {"a": value}
        where[key] = value
    elif way == 2 and isinstance(where, list):
        where.extend([where[key]] * (1 + edit.word % 50))
    elif way == 3 and isinstance(where, dict):
        where[str(value)[:200]] = where[key]
    else:
        where[key] = value
    return json.dumps(raw).encode()


def _places(raw: Any) -> list[tuple[Any, Any]]:
    """Every list or object of a value of JSON with each of its keys."""
    found, level = [], [raw]
    while level:
        part = level.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part))
        found += [(part, key) for key in keys]
        level += [part[key] for key in keys if isinstance(part[key], dict | list)]
    return found


CHANGES: dict[str, Change] = {
    **{"flip": _flip, "byte": _byte, "cut": _cut, "end": _end, "repeat": _repeat},
    **{"insert": _insert, "splice": _splice, "swap": _swap, "size": _size},
    **{"number": _number, "json": _json},
}
KINDS = (*CHANGES, *(f"inner {kind}" for kind in CHANGES if kind != "splice"))
