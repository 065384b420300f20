"""A bar on stderr for what takes more than two seconds, quiet where stderr is no terminal.

Of several ranks the first one draws it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Advance(Protocol):
    """To be called with the number just done, and the seconds waited for them."""

    def __call__(self, count: int, waited: float = 0.0) -> None:
        """Move the bar."""


@contextmanager
def progress(
    what: str, total: int, *, unit: str = "images", waits: bool = False
) -> Iterator[Advance]:
    """A function that moves a bar with rate, time left and, if `waits`, the share of waiting."""
    console, rank = Console(stderr=True), os.environ.get("RANK", "0")
    columns = (
        TextColumn("{task.description}"),
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
        task = bar.add_task(what, total=total, visible=False, rate=0.0, wait="")

        def advance(count: int, waited: float = 0.0) -> None:
            nonlocal done, waiting
            done, waiting = done + count, waiting + waited
            seconds = max(time.monotonic() - began, 1e-9)
            share = f"waiting for data {waiting / seconds:.1%}" if waits else ""
            bar.update(task, completed=done, visible=seconds > 2, rate=done / seconds, wait=share)

        yield advance
