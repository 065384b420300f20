"""Files into a bucket, s3:// or gs://: each object whole, read back, and never written over.

An object appears when it is complete and only where there is none (If-None-Match), so that two
writers cannot mix what they send, and what an earlier run sent is kept.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar

from builder.contract import CheckError, UsageError
from builder.store.files import BLOCK, LISTING, SLOWEST_BLOCK, TIMEOUT, file_system
from builder.store.sending import Advance, Alive, Outgoing, Store, check_source, taken
from builder.store.threads import within
from builder.store.url import parse_scheme, without_secrets

T = TypeVar("T")

PART = 64 << 20  # bytes of a part of a large object


class BucketTarget:
    """The prefix of a bucket that files are sent to."""

    def __init__(self, url: str, alive: Alive = lambda: None) -> None:
        """UsageError where the library that speaks the scheme is missing.

        `alive` is called while the store is waited for, and ends the wait where it raises.
        """
        self._alive = alive
        self._scheme = parse_scheme(url)
        self._url = url.rstrip("/")
        self.shown = without_secrets(self._url)
        self._bucket = self.shown.partition("://")[2].partition("/")[0]
        self._files: Any = file_system(self._scheme)  # fsspec has no types
        self._store = Store(scheme=self._scheme, shown=self.shown)

    def names(self) -> set[str]:
        """The paths of all objects below the prefix, without the empty ones that mark folders."""
        self._files.invalidate_cache()
        found: list[str] = self._ask(lambda: self._files.find(self._url))
        base = self._url.partition("://")[2] + "/"
        files = [path for path in found if path.startswith(base) and not path.endswith("/")]
        return {path.removeprefix(base) for path in files}

    def prepare(self) -> None:
        """UsageError where there is no such bucket: whoever may make buckets makes them."""

        def ask() -> bool:
            with suppress(FileNotFoundError):
                self._files.ls(self._url, refresh=True)
                return True
            try:
                self._files.ls(self._bucket, refresh=True)
            except FileNotFoundError:
                return False
            except PermissionError:  # the account may see its own folder alone
                return True
            return True

        if not self._ask(ask):
            raise UsageError(
                f"There is no bucket {self._bucket}: check the URL, or make the bucket first."
            )

    def sizes(self, folder: str) -> dict[str, int]:
        """Name → bytes of the objects in a folder."""

        def ask() -> dict[str, int]:
            try:
                entries = self._files.ls(f"{self._url}/{folder}", detail=True, refresh=True)
            except FileNotFoundError:
                self._files.ls(self._url.partition("://")[2].partition("/")[0])  # is there a bucket
                return {}
            return {
                PurePosixPath(e["name"]).name: e["size"] for e in entries if e["type"] == "file"
            }

        return self._ask(ask)

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """A small object, None where there is none; CheckError where it has more bytes."""
        if (size := self.size(path)) is None:
            return None
        if size > max_bytes:
            raise CheckError(f"{self.shown}/{path} has {size:,} bytes: at most {max_bytes:,} fit.")
        return self._read(path, 0, size)

    def put(self, files: Sequence[Outgoing], advance: Advance) -> bool:
        """Whether anything was sent; all files are there in the end, sent in their order.

        UsageError where another one is in the place of one. `advance` is called with bytes sent,
        with 0 meanwhile, and ends all where it raises.
        """
        sent = [self._put(file, advance) for file in files]
        return any(sent)

    def size(self, path: str) -> int | None:
        """The bytes of an object; None where there is none."""
        self._files.invalidate_cache()  # other writers' objects count

        def ask() -> int | None:
            try:
                return int(self._files.info(f"{self._url}/{path}")["size"])
            except FileNotFoundError:
                return None

        return self._ask(ask)

    def taken(self, path: str) -> UsageError:
        """What to say where another file is in the place of one that is sent."""
        return taken(self.shown, path)

    def _ask(self, what: Callable[[], T]) -> T:
        """What `what` gives, which sends nothing."""
        return self._store.ask(lambda: within(LISTING, what, self._alive), self._alive)

    def _put(self, file: Outgoing, advance: Advance) -> bool:
        if (size := self.size(file.path)) is not None:
            if not self._holds(file, size, advance):
                raise self.taken(file.path)
            return False
        check_source(file)
        alive = partial(advance, 0)
        try:
            self._store.send(
                file.path, lambda: self._create(file, alive), FileExistsError, alive=alive
            )
            created = True
        except FileExistsError:  # of an attempt whose answer was lost, or somebody else's
            created = False
        if self._holds(file, self.size(file.path), advance):
            advance(file.size)
            return True
        if not created:
            raise self.taken(file.path)
        raise CheckError(
            f"{self.shown} does not give {file.path} back as it was sent: remove it there, and run "
            "the same command again."
        )

    def _create(self, file: Outgoing, alive: Any) -> None:
        url = f"{self._url}/{file.path}"
        if file.source is None:
            ask = partial(self._files.pipe_file, url, file.data, mode="create")
        else:
            asked = {"mode": "create", "chunksize": PART}
            ask = partial(self._files.put_file, str(file.source), url, **asked)
        try:
            within(TIMEOUT + file.size / SLOWEST_BLOCK, ask, alive)
        except FileNotFoundError:
            if file.size < 2 * PART:  # the least that goes in parts
                raise
            # The parts are gone: they became the object, and that answer was lost, or it is begun
            # once more.
            if self.size(file.path) is not None:
                raise FileExistsError(file.path) from None
            raise ConnectionError("The parts of an upload are gone.") from None

    def _read(self, path: str, start: int, stop: int) -> bytes:
        url = f"{self._url}/{path}"
        data: bytes = self._ask(lambda: self._files.cat_file(url, start=start, end=stop))
        return data

    def _holds(self, file: Outgoing, size: int | None, advance: Advance) -> bool:
        """Whether the object of that size is the file, byte by byte."""
        if size != file.size:
            return False
        digest = hashlib.sha256()
        for start in range(0, size, BLOCK):
            digest.update(self._read(file.path, start, min(start + BLOCK, size)))
            advance(0)
        return digest.hexdigest() == file.sha256
