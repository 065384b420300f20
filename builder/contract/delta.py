"""Parquet's DELTA_BINARY_PACKED numbers: how large they become, without keeping them.

A header (values of a block, its miniblocks, count, first value), then blocks: the smallest
difference, the bits of each miniblock's differences, and these, less the smallest.
"""

import numpy as np
import numpy.typing as npt

from builder.contract.thrift import varint, whole

Numbers = npt.NDArray[np.int64]


def first_and_largest(data: bytes, most: int) -> tuple[int, int]:
    """The first and the largest of the numbers at the beginning of `data`; at most `most` of them.

    ValueError or IndexError where they are damaged, or one is negative.
    """
    place, block = varint(data, 0)
    place, minis = varint(data, place)
    place, count = varint(data, place)
    place, first = whole(data, place)
    if not minis or block % 128 or block % minis or (block // minis) % 32 or block > 1 << 16:
        raise ValueError("its numbers come in blocks of an unknown size")
    if count > most:
        raise ValueError("it has more numbers than values")
    if count < 2:
        return first, first if count else 0
    per, left = block // minis, count - 1
    smallest = np.zeros(-(-left // per), np.int64)
    parts: dict[int, list[tuple[int, int]]] = {}  # by bits: the number of a miniblock, its place
    number = 0
    while left > 0:
        place, low = whole(data, place)
        widths, place = data[place : place + minis], place + minis
        for bits in widths:
            if left <= 0:
                break
            smallest[number] = low
            parts.setdefault(bits, []).append((number, place))
            number, left, place = number + 1, left - per, place + per * bits // 8
        if place > len(data):
            raise ValueError("its numbers are cut")
    if max(parts) > 32:
        raise ValueError("its numbers are too large")
    steps = np.zeros((number, per), np.int64)
    for bits, places in parts.items():
        if bits:
            steps[[n for n, _ in places]] = _unpacked(data, [p for _, p in places], bits, per)
    steps += smallest[:, None]
    numbers = first + np.cumsum(steps.ravel()[: count - 1])
    if first < 0 or numbers.min() < 0:
        raise ValueError("one of its numbers is negative")
    return first, max(first, int(numbers.max()))


def _unpacked(data: bytes, places: list[int], bits: int, per: int) -> Numbers:
    """int64 [miniblocks, per] of that many bits, the lowest first."""
    size = per * bits // 8
    raw = np.frombuffer(b"".join(data[place : place + size] for place in places), np.uint8)
    signs = np.unpackbits(raw.reshape(len(places), size), axis=1, bitorder="little")
    weights = np.int64(1) << np.arange(bits)
    found: Numbers = signs.reshape(len(places), per, bits) @ weights
    return found
