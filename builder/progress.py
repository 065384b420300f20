"""A progress bar with rate and time left, for all that takes more than a moment."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]  # (images done since the last call)
Progress = Callable[[str, int], AbstractContextManager[Advance]]  # (title, total) → Advance


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """A function to call with images done; a bar with rate and ETA if stderr is a terminal."""
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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, rate="")

        def advance(images: int) -> None:
            bar.advance(task, images)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f} images/s" if speed else "")

        yield advance
