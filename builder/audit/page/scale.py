"""Figures on a scale: where a value, its interval and its floor lie, in per cent of a strip."""

from collections.abc import Sequence
from dataclasses import dataclass

from builder.contract.audit import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """An interval on a strip, all in per cent of its width from the left."""

    left: float
    width: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A figure and its floor on one scale, with its ends."""

    found: Bar
    floor: Bar | None
    mark: float | None  # where a value of reference lies, such as chance; None where it is outside
    low: float
    high: float


def strip(found: Interval, floor: Interval | None, reference: float | None = None) -> Strip:
    """The figure on a scale that just holds it, its floor and the value of reference."""
    each = [found] if floor is None else [found, floor]
    ends = [end for part in each for end in (part.low, part.value, part.high)]
    low, high = _ends([*ends, *([] if reference is None else [reference])])
    return Strip(
        found=_bar(found, low, high),
        floor=None if floor is None else _bar(floor, low, high),
        mark=None if reference is None else _place(reference, low, high),
        low=low,
        high=high,
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of a scale with some air around the values."""
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.5 * abs(low) or 0.5
    return low - air, high + air


def _bar(part: Interval, low: float, high: float) -> Bar:
    left, right = (_place(end, low, high) for end in (part.low, part.high))
    return Bar(left=left, width=max(right - left, 0.0), value=_place(part.value, low, high))


def _place(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 2)
