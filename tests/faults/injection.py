"""The n-th time that a command touches its folder something happens: a signal, or the disk fails.

Boundaries are all that changes a folder: files made, written, synced, renamed, linked, removed.
They are counted by patches of `os` and `io` in a process that the caller gave up for this.
"""

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_ALL = ("open", "write", "fsync", "replace", "rename", "link", "mkdir", "unlink", "remove", "rmdir")
_TAKES_ROOM = ("open", "write", "fsync", "link", "mkdir")
BOUNDARIES = {  # what may fail so
    "SIGKILL": _ALL,
    "SIGTERM": _ALL,
    "ENOSPC": _TAKES_ROOM,
    "EDQUOT": _TAKES_ROOM,
    "EROFS": _ALL,
    "EIO": ("fsync",),
}
ONCE = ("SIGKILL", "SIGTERM", "EIO")  # a full or read-only disk stays so


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, at which of its boundaries (from 1), before it or after it."""

    kind: str
    at: int
    after: bool = False


class Injection:
    """Counts the boundaries below a folder, by kind, and makes one fault happen."""

    def __init__(self, below: Path, fault: Fault | None, note: Path) -> None:
        """`note` is the file in which the counts stand when the process ends by itself."""
        self._below, self._fault, self._note = f"{below.resolve()}/", fault, note
        self.counts = dict.fromkeys(BOUNDARIES, 0)

    def install(self) -> None:
        """From now on, for the rest of the process."""
        for name in _ALL:
            if hasattr(os, name) and name not in ("open", "write"):
                setattr(os, name, self._around(name, getattr(os, name)))
        os.open = self._opened(os.open)  # type: ignore[assignment]
        os.fdopen = self._filed(os.fdopen)  # type: ignore[assignment]
        builtins.open = io.open = self._filed(io.open)  # type: ignore[assignment]

    def tell(self) -> None:
        """Write the counts."""
        words = " ".join(f"{kind}={count}" for kind, count in self.counts.items())
        number = os.open(self._note, os.O_WRONLY | os.O_CREAT)
        os.write(number, words.encode())

    def _around(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **options: Any) -> Any:
            folder = options.get("dir_fd", options.get("src_dir_fd"))
            if not self._is_ours(path, folder):
                return real(path, *rest, **options)
            return self._meet(name, lambda: real(path, *rest, **options))

        return call

    def _opened(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            def act() -> int:
                return real(path, flags, mode, dir_fd=dir_fd)

            ours = flags & _WRITES and self._is_ours(path, dir_fd)
            return self._meet("open", act) if ours else act()

        return call

    def _filed(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`open` and `os.fdopen`, whose files of bytes or text meet a boundary at each write."""
        injection = self

        class Raw(io.FileIO):
            def write(self, data: Any, /) -> int:
                return injection._meet("write", lambda: io.FileIO.write(self, data))

        def call(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **kw: Any) -> Any:
            if mode not in ("w", "x", "wb", "xb") or not buffering or not self._is_ours(file, None):
                return real(file, mode, buffering, *rest, **kw)
            kind = mode[0]

            def act() -> io.FileIO:
                return Raw(file, kind)

            raw = act() if isinstance(file, int) else self._meet("open", act)
            size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
            buffer = io.BufferedWriter(raw, size)
            if mode.endswith("b"):
                return buffer
            names = ("encoding", "errors", "newline")
            return io.TextIOWrapper(buffer, **dict(zip(names, rest, strict=False)) | kw)

        return call

    def _is_ours(self, path: Any, folder: int | None) -> bool:
        if isinstance(path, int):
            place = Path(f"/proc/self/fd/{path}").readlink()
        else:
            base = Path.cwd() if folder is None else Path(f"/proc/self/fd/{folder}").readlink()
            place = base / os.fsdecode(path)
        return f"{place}/".startswith(self._below)

    def _meet(self, name: str, act: Callable[[], Any]) -> Any:
        for kind, names in BOUNDARIES.items():
            self.counts[kind] += name in names
        fault = self._fault
        if fault is None or name not in BOUNDARIES[fault.kind]:
            return act()
        count = self.counts[fault.kind]
        if count != fault.at and not (count > fault.at and fault.kind not in ONCE):
            return act()
        if not fault.kind.startswith("SIG"):
            number = getattr(errno, fault.kind)
            raise OSError(number, os.strerror(number))
        if not fault.after:
            os.kill(os.getpid(), getattr(signal, fault.kind))
        result = act()
        if fault.after:
            os.kill(os.getpid(), getattr(signal, fault.kind))
        return result
