"""Requests that are made again after failures that may pass, and files that a store holds."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from builder.contract import CheckError, sha256_file
from builder.share.release import ReleaseFile
from builder.store import OutOfReach
from builder.store.url import permanent_failure

ATTEMPTS = 7
FIRST_DELAY = 1.0  # seconds before the second attempt; doubled before each further one

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where a release goes: its scheme, and its URL as messages may show it."""

    scheme: str
    shown: str

    def ask(self, what: Callable[[], T]) -> T:
        """What `what` gives, which sends no file.

        CheckError where it is refused for good, OutOfReach where every attempt failed.
        """
        return self._again(f"Cannot reach {self.shown}", what)

    def send(self, path: str, what: Callable[[], T], *passed_on: type[Exception]) -> T:
        """What `what` gives, which sends a file; errors of the kinds `passed_on` are the caller's.

        CheckError and OutOfReach as above.
        """
        return self._again(f"Cannot send {path} to {self.shown}", what, *passed_on)

    def _again(self, failed: str, what: Callable[[], T], *passed_on: type[Exception]) -> T:
        last = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(FIRST_DELAY * 2 ** (attempt - 1))
            try:
                return what()
            except passed_on:
                raise
            except Exception as error:  # each store raises what its own library does
                causes = [e for e in (error, error.__cause__) if isinstance(e, Exception)]
                if why := next(filter(None, map(self._final, causes)), ""):
                    raise CheckError(f"{failed}: {why}.") from None
                last = type(causes[-1]).__name__  # its text may hold the whole URL
        raise OutOfReach(
            f"{failed}: {ATTEMPTS} attempts failed, the last one with {last}; check the network "
            "and run the same command again, which keeps what arrived."
        )

    def _final(self, error: Exception) -> str:
        return permanent_failure(error, self.scheme)


def check_source(file: ReleaseFile) -> None:
    """CheckError where the file that is sent is not what the release lists."""
    found = (
        sha256_file(file.source) if file.source else hashlib.sha256(file.data or b"").hexdigest()
    )
    if found != file.sha256:
        raise CheckError(f"{file.source or file.path} changed before it was sent: start again.")


def made(path: str, data: bytes) -> ReleaseFile:
    """A file of a release from its bytes."""
    digest = hashlib.sha256(data).hexdigest()
    return ReleaseFile(path=path, size=len(data), sha256=digest, data=data, source=None)


def mebibytes(size: int) -> int:
    """A size for a progress bar, rounded up."""
    return -(-size // (1 << 20))
