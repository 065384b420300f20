"""What Ray's own threads print, kept out of what a command prints → a block with another stdout.

Ray tells the driver of every process that died, on stdout, whatever its options for logging are.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO


class _Sorted:
    """Stdout for one thread, and stderr for all others; otherwise as the stdout of before."""

    def __init__(self, ours: TextIO, others: TextIO) -> None:
        """The thread is the one that calls."""
        self._ours, self._others = ours, others
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        """How many characters were written."""
        return self._stream().write(text)

    def flush(self) -> None:
        """Bring out what was written."""
        self._stream().flush()

    def __getattr__(self, name: str) -> Any:
        """The rest, as asked of this thread's stream."""
        return getattr(self._stream(), name)

    def _stream(self) -> TextIO:
        return self._ours if threading.get_ident() == self._thread else self._others


@contextmanager
def others_on_stderr() -> Iterator[None]:
    """What other threads print in the block goes to stderr."""
    with redirect_stdout(_Sorted(sys.stdout, sys.stderr)):
        yield
