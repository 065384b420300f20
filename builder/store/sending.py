"""Requests that are made again after failures that may pass, and files that a store holds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from builder.contract import CheckError, UsageError, sha256_bytes, sha256_file
from builder.store.remote import OutOfReach
from builder.store.url import failure, permanent_failure

ATTEMPTS = 7
FIRST_DELAY = 1.0  # seconds before the second attempt; doubled before each further one
_RIGHTS = ", with the rights to list, read and create there"
_SLICE = 1.0  # seconds of a pause after which it is asked whether anybody still waits

T = TypeVar("T")
Alive = Callable[[], object]
Advance = Callable[[int], object]  # (bytes that were sent since the last call)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A file that is to be sent: its bytes, or the file that they are copied from."""

    path: str  # there
    size: int
    sha256: str
    data: bytes | None = None
    source: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where files are sent to: its scheme, and its URL as messages may show it."""

    scheme: str
    shown: str

    def ask(self, what: Callable[[], T], alive: Alive = lambda: None) -> T:
        """What `what` gives, which sends no file.

        CheckError where it is refused for good, OutOfReach where every attempt failed.
        """
        return self._again(f"Cannot reach {self.shown}", what, alive=alive)

    def send(
        self,
        path: str,
        what: Callable[[], T],
        *passed_on: type[Exception],
        alive: Alive = lambda: None,
    ) -> T:
        """What `what` gives, which sends a file; errors of the kinds `passed_on` are the caller's.

        CheckError and OutOfReach as above. `alive` is called before each attempt and in the pauses
        between them, and ends all of them where it raises.
        """
        failed = f"Cannot send {path} to {self.shown}"
        return self._again(failed, what, (*passed_on,), alive, rights=_RIGHTS)

    def _again(
        self,
        failed: str,
        what: Callable[[], T],
        passed_on: tuple[type[Exception], ...] = (),
        alive: Alive = lambda: None,
        rights: str = "",
    ) -> T:
        last = ""
        for attempt in range(ATTEMPTS):
            _pause(FIRST_DELAY * 2 ** (attempt - 1) if attempt else 0, alive)
            try:
                return what()
            except passed_on:
                raise
            except Exception as error:  # each store raises what its own library does
                if why := permanent_failure(error, self.scheme):
                    also = rights if why.startswith("access is refused") else ""
                    raise CheckError(f"{failed}: {why}{also}.") from None
                last = failure(error)
        raise OutOfReach(
            f"{failed}: {ATTEMPTS} attempts failed, the last one with {last}; check the network "
            "and run the same command again, which keeps what arrived."
        )


def _pause(seconds: float, alive: Alive) -> None:
    alive()
    while seconds > 0:
        time.sleep(min(seconds, _SLICE))
        seconds -= _SLICE
        alive()


def taken(shown: str, path: str) -> UsageError:
    """What to say where another file is in the place of one that is sent."""
    return UsageError(
        f"{shown} holds another {path} than the one to be sent: choose another place, or remove it "
        "if nobody uses it."
    )


def check_source(file: Outgoing) -> None:
    """CheckError where the bytes that are sent are not those that were announced."""
    found = sha256_file(file.source) if file.source else sha256_bytes(file.data or b"")
    if found != file.sha256:
        raise CheckError(f"{file.source or file.path} changed before it was sent: start again.")


def made(path: str, data: bytes) -> Outgoing:
    """A file to send, from its bytes."""
    return Outgoing(path=path, size=len(data), sha256=sha256_bytes(data), data=data)


def mebibytes(size: int) -> int:
    """A size for a progress bar, rounded up."""
    return -(-size // (1 << 20))
