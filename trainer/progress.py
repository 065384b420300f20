"""On stderr: lines that say what begins, and a bar for work that takes more than two seconds.

No bar is drawn where stderr is not a terminal; of several ranks only the first one draws it.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from builder.contract import printable


class Advance(Protocol):
    """A function that moves a bar by `count`; `waited` are the seconds spent waiting for data."""

    def __call__(self, count: int, waited: float = 0.0) -> None:
        """Move the bar."""


@contextmanager
def progress(
    what: str, total: int, *, unit: str = "images", waits: bool = False
) -> Iterator[Advance]:
    """A function that moves the bar `what`, which ends at `total`.

    The bar shows the rate in `unit` per second, the time left and, if `waits`, the share of the
    time spent waiting for data.
    """
    console, rank = Console(stderr=True), os.environ.get("RANK", "0")
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{{task.fields[rate]:,.0f}} {unit}/s"),
        TextColumn("{task.fields[wait]}"),
        TimeRemainingColumn(),
    )
    began, done, waiting = time.monotonic(), 0, 0.0
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal or rank != "0"
    ) as bar:
        task = bar.add_task(printable(what), total=total, visible=False, rate=0.0, wait="")

        def advance(count: int, waited: float = 0.0) -> None:
            nonlocal done, waiting
            done, waiting = done + count, waiting + waited
            seconds = max(time.monotonic() - began, 1e-9)
            share = f"waiting for data {waiting / seconds:.1%}" if waits else ""
            bar.update(task, completed=done, visible=seconds > 2, rate=done / seconds, wait=share)

        yield advance


def say(line: str) -> None:
    """A line on stderr at once; what is no printable letter in it is replaced."""
    print(printable(line, len(line)), file=sys.stderr, flush=True)
