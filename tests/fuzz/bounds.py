"""What holds for every input: a result or one sentence, soon, in little memory, in its folder."""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from mutation import Layer

from builder.contract import Refusal

SECONDS = 5.0  # of CPU
MEMORY = 300 << 20  # bytes above what the process had
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_PROGRAM = "ssh-keygen"  # checks signatures by kinds of keys that the library does not know
_HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An entry point that reads a stranger's bytes: valid examples, and the call.

    The call gets the bytes and an empty folder that is its own. `sentences`: what it may raise
    beside the project's refusals, where its docstring says so. `refused`: further examples, which
    are refused as they stand.
    """

    examples: Callable[[], Sequence[bytes]]
    call: Callable[[bytes, Path], object]
    layers: Sequence[Layer] = ()
    sentences: tuple[type[Exception], ...] = ()
    refused: Sequence[bytes] = ()

    def seeds(self) -> Sequence[bytes]:
        """What is changed."""
        return [*self.examples(), *self.refused]


def fault(target: Target, data: bytes, folder: Path) -> str:
    """What does not hold for this input; "" where all does."""
    _GUARD.install()
    before, begun = _peak_from_here(), time.process_time()
    _GUARD.begin(folder)
    tempfile.tempdir, usual = str(folder), tempfile.tempdir
    said = ""
    try:
        target.call(data, folder)
    except (Refusal, click.UsageError, *target.sentences) as error:
        message = str(error)
        if not message or len(message) > 4100 or not message.isprintable():
            said = f"its message is not one sentence: {message[:200]!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = " ← ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
        said = f"{type(error).__name__}: {str(error)[:200]} ({where})"
    outside = _GUARD.end()
    tempfile.tempdir = usual
    seconds, grown = time.process_time() - begun, _peak() - before
    if not said and outside:
        said = f"it reached outside of its folder: {outside[:200]}"
    if not said and seconds > SECONDS:
        said = f"it took {seconds:.1f} seconds"
    if not said and grown > MEMORY:
        said = f"it took {grown >> 20} MiB"
    return said


class _Guard:
    """Notes files written, and programs and connections begun, outside of an input's folder."""

    def __init__(self) -> None:
        self._folder, self._outside, self._installed = "", "", False

    def install(self) -> None:
        if not self._installed:
            sys.addaudithook(self._look)  # for the rest of the process; it sleeps between inputs
            self._installed = True

    def begin(self, folder: Path) -> None:
        self._folder, self._outside = str(folder.resolve()), ""

    def end(self) -> str:
        self._folder = ""
        return self._outside

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._folder:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                self._check(event, path)
        elif event in ("os.remove", "os.rename", "os.link", "os.mkdir", "os.rmdir", "os.chmod"):
            for path in arguments[:2]:
                self._check(event, path)
        elif event in ("os.system", "os.exec", "subprocess.Popen", "os.posix_spawn"):
            if arguments[0] != _PROGRAM:
                self._outside = f"{event} {arguments[:2]!r}"
        elif event == "socket.connect" and str(arguments[1][0]) not in _HERE:
            raise OSError("no network here")

    def _check(self, event: str, path: object) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str) or not path.startswith("/") or path == os.devnull:
            return  # relative ones are below a folder that is open
        if "__pycache__" not in path and not os.path.realpath(path).startswith(self._folder):
            self._outside = f"{event} {path!r}"


_GUARD = _Guard()
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _peak_from_here() -> int:
    """The bytes that the process has; its peak counts from here where Linux can do that."""
    with suppress(OSError):
        _CLEAR.write_text("5")
    return _status("VmHWM")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    text = _STATUS.read_text()
    start = text.find(f"{name}:")
    return int(text[start:].split(maxsplit=2)[1]) << 10 if start >= 0 else 0
