"""A table of a report, and numbers as its cells have them: a dash where there is none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from builder.contract import KEY
from trainer.report.conclusions import small
from trainer.report.single_run import Facts

DASH = "–"
OTHER = "†"  # after a figure of the paper that is of other images than ours
WEAK = "‡"  # after a number of positives that is to be read with care

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table and the words around it; nothing in it is escaped."""

    key: str  # no other table of the report has it; of a-z, 0-9, _ and -
    title: str
    columns: Row
    align: str  # a letter per column: l text, r number, m monospaced words that may break anywhere
    rows: tuple[Row, ...]
    note: str
    dataset: str = ""  # the one that it is of; "" is all
    starts: frozenset[int] = frozenset()  # rows that begin a group, but the first
    strong: frozenset[int] = frozenset()  # rows that stand out


def key(kind: str, dataset: Facts) -> str:
    """Such as `figures-gan10`, without what HTML or LaTeX may act on, whatever the name is."""
    name = dataset["name"]
    words = name if KEY.fullmatch(name) else f"{name}-{dataset['digest'][:8]}"
    return re.sub("[^a-z0-9_-]", "", f"{kind}-{words}")


def starts(rows: Sequence[Row], cells: int = 1) -> frozenset[int]:
    """The rows, but the first, whose first cells differ from those of the row before."""
    groups = [row[:cells] for row in rows]
    return frozenset(i for i in range(1, len(rows)) if groups[i] != groups[i - 1])


def count(value: int | None) -> str:
    """Such as `9,825`."""
    return DASH if value is None else f"{value:,}"


def number(value: float | None, sign: str = "") -> str:
    """To three places, with its sign even above 0 if that is `+`."""
    return DASH if value is None else f"{value:{sign}.3f}"


def interval(found: Facts, sign: str = "") -> str:
    """Such as `0.757 to 0.834`."""
    if found.get("low") is None:
        return DASH
    return f"{number(found['low'], sign)} to {number(found['high'], sign)}"


def estimate(found: Facts | None, sign: str = "") -> str:
    """The value with its interval in brackets, where there is one."""
    if not found or "value" not in found:
        return DASH
    value, ends = number(found["value"], sign), interval(found, sign)
    return value if ends == DASH else f"{value} ({ends})"


def p_value(value: float | None) -> str:
    """Such as `0.012` or `< 0.001`."""
    return DASH if value is None else small(value)


def share(value: float | None, places: int) -> str:
    """In percent."""
    return DASH if value is None else f"{100 * value:.{places}f} %"


def regime(dataset: Facts) -> str:
    """The dataset's share of the training set, in percent."""
    return f"{dataset['regime']} %" if dataset["regime"] else DASH


def level(settings: Facts) -> str:
    """What the intervals hold, such as `95 %`."""
    return f"{100 * (1 - settings['level']):g} %"


def pair(arm: str, control: str) -> str:
    """The head of a column of differences."""
    return f"{arm} − {control}"
