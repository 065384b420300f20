"""A progress bar with rate and time left, for all that takes more than a moment."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from builder.contract import printable

Advance = Callable[[int], None]  # (images, or other units, done since the last call)


class Progress(Protocol):
    """What shows how far something has come: a bar, or nothing."""

    def __call__(
        self, title: str, total: int, unit: str = "images"
    ) -> AbstractContextManager[Advance]:
        """A context whose value is called with the units done."""


@contextmanager
def progress(title: str, total: int, unit: str = "images") -> Iterator[Advance]:
    """A function to call with units done; a bar with rate and ETA if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(printable(title), total=total, rate="")

        def advance(done: int) -> None:
            bar.advance(task, done)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield advance
