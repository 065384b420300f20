"""Structs in Thrift's compact protocol, as parquet's headers and footers are, as plain values."""

from typing import Any

_MAX_DEPTH = 16
_WHOLE = (4, 5, 6)
_TRUE, _FALSE, _BYTE, _DOUBLE, _TEXT, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12

Fields = dict[int, Any]  # by number: int, bool, Fields, a list of these, or None for texts and more


def read_struct(data: bytes, place: int, depth: int = 0) -> tuple[int, Fields]:
    """Where the struct that begins at `place` ends, and its fields.

    ValueError, LookupError or TypeError where it is damaged.
    """
    found, number = Fields(), 0
    while (sign := data[place]) != 0:
        place, kind = place + 1, sign & 15
        if sign >> 4:
            number += sign >> 4
        else:
            place, number = whole(data, place)
        if kind in (_TRUE, _FALSE):
            found[number] = kind == _TRUE
        else:
            place, found[number] = _value(data, place, kind, depth)
    return place + 1, found


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[int, Any]:
    if depth > _MAX_DEPTH:
        raise ValueError("its header is nested too deeply")
    if kind in _WHOLE:
        return whole(data, place)
    if kind == _STRUCT:
        return read_struct(data, place, depth + 1)
    if kind == _TEXT:
        place, length = varint(data, place)
        return place + length, None
    if kind in (_LIST, _SET):
        return _list(data, place, depth + 1)
    if kind in (_TRUE, _FALSE, _BYTE):
        return place + 1, None
    if kind == _DOUBLE:
        return place + 8, None
    raise ValueError(f"its header has a field of the kind {kind}")


def _list(data: bytes, place: int, depth: int) -> tuple[int, list[Any]]:
    sign = data[place]
    place, count, kind = place + 1, sign >> 4, sign & 15
    if count == 15:
        place, count = varint(data, place)
    if count > len(data) - place:
        raise ValueError("its header is cut")
    found = []
    for _ in range(count):
        place, value = _value(data, place, kind, depth)
        found.append(value)
    return place, found


def whole(data: bytes, place: int) -> tuple[int, int]:
    """Where the zigzag number at `place` ends, and the number."""
    place, word = varint(data, place)
    return place, (word >> 1) ^ -(word & 1)


def varint(data: bytes, place: int) -> tuple[int, int]:
    """The same of a number that is not signed."""
    number = shift = 0
    while shift < 70:
        sign = data[place]
        number |= (sign & 127) << shift
        place, shift = place + 1, shift + 7
        if sign < 128:
            return place, number
    raise ValueError("a number is too long")
