"""A table of a report, and numbers as its cells show them: a dash where there is none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from builder.contract import KEY
from trainer.report.across import HasInterval
from trainer.report.comparison_report import ReportSettings
from trainer.report.results import DatasetResult
from trainer.report.sentences import DASH, percent, small

OTHER = "†"  # after a figure of the paper that is not about the same kind of images as ours
WEAK = "‡"  # after a number of positives that needs care

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its title and note; nothing in it is escaped."""

    key: str  # unique in the report; made of a-z, 0-9, _ and -
    title: str
    columns: Row
    align: str  # a letter per column: l text, r number, m monospaced words that may break anywhere
    rows: tuple[Row, ...]
    note: str
    dataset: str = ""  # the one that it shows; "": all of them
    starts: frozenset[int] = frozenset()  # rows that begin a group, except the first
    strong: frozenset[int] = frozenset()  # rows in bold


def key(kind: str, dataset: DatasetResult) -> str:
    """Such as `figures-gan10`; only letters that HTML and LaTeX take as they are."""
    name = dataset.name
    words = name if KEY.fullmatch(name) else f"{name}-{dataset.digest[:8]}"
    return re.sub("[^a-z0-9_-]", "", f"{kind}-{words}")


def starts(rows: Sequence[Row], cells: int = 1) -> frozenset[int]:
    """The rows, except the first, whose first cells differ from those of the row before."""
    groups = [row[:cells] for row in rows]
    return frozenset(i for i in range(1, len(rows)) if groups[i] != groups[i - 1])


def count(value: int | None) -> str:
    """Such as `9,825`."""
    return DASH if value is None else f"{value:,}"


def number(value: float | None, sign: str = "") -> str:
    """The value to three places; with `sign` "+" a positive one has its sign, too."""
    return DASH if value is None else f"{value:{sign}.3f}"


def interval(low: float | None, high: float | None, sign: str = "") -> str:
    """Such as `0.757 to 0.834`."""
    if low is None or high is None:
        return DASH
    return f"{number(low, sign)} to {number(high, sign)}"


def with_interval(found: HasInterval | None, sign: str = "") -> str:
    """The value with its interval in brackets, where there is one."""
    if found is None or found.value is None:
        return DASH
    value, ends = number(found.value, sign), interval(found.low, found.high, sign)
    return value if ends == DASH else f"{value} ({ends})"


def p_value(value: float | None) -> str:
    """Such as `0.012` or `< 0.001`."""
    return DASH if value is None else small(value)


def share(value: float | None, places: int) -> str:
    """In per cent."""
    return DASH if value is None else f"{100 * value:.{places}f} %"


def regime(dataset: DatasetResult) -> str:
    """The dataset's share of the training set, in per cent."""
    return f"{dataset.regime} %" if dataset.regime else DASH


def ci(settings: ReportSettings) -> str:
    """The name of the intervals, such as `95 % CI`."""
    return f"{percent(settings.level)} CI"


def pair(arm: str, control: str) -> str:
    """The head of a column of differences."""
    return f"{arm} − {control}"
