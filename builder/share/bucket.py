"""A release into a bucket: every object whole and read back, SHA256SUMS last.

Nothing is sent to a place that holds other objects: a card's pattern would load their shards, too.
An object appears when it is complete and is never written over (If-None-Match), so a second
publisher cannot mix two releases, and a rerun keeps what is right. A release is there once its
SHA256SUMS is.
"""

import hashlib
from typing import Any

from builder.contract import CheckError, UsageError, printable
from builder.progress import Progress
from builder.share.check import SIGNATURE, SUMS
from builder.share.release import Release, ReleaseFile
from builder.share.sending import Store, check_source, made, mebibytes
from builder.store.files import BLOCK, file_system
from builder.store.url import parse_scheme, without_secrets

PART = 64 << 20  # bytes of a part of a large object


def send_to_bucket(
    release: Release, url: str, *, signature: bytes | None, progress: Progress
) -> bool:
    """Whether anything was sent to s3:// or gs://; False where the release is there already.

    UsageError where the place holds anything else; CheckError where the store refuses, or does
    not give back what it was given.
    """
    target = _Target(url)
    *files, sums = sorted(release.files, key=_order)
    there = target.names()
    if SUMS in there and target.small(SUMS, sums.size) != release.sums:
        raise target.taken(SUMS)
    if signature is not None:
        files.append(made(SIGNATURE, signature))
    files.append(sums)
    own = {*(file.path for file in files), *([SIGNATURE] if SUMS in there else [])}
    target.check_alone(there - own)
    sent = False
    with progress("sending", sum(mebibytes(file.size) for file in files), "MiB") as advance:
        for file in files:
            sent |= target.put(file)
            advance(mebibytes(file.size))
    return sent


def _order(file: ReleaseFile) -> tuple[bool, bool]:
    return file.path == SUMS, file.path.startswith("manifests/")


class _Target:
    """The prefix of a bucket that a release goes to."""

    def __init__(self, url: str) -> None:
        self._scheme = parse_scheme(url)
        self._url = url.rstrip("/")
        self._files: Any = file_system(self._scheme)  # fsspec has no types
        self._store = Store(scheme=self._scheme, shown=without_secrets(url))

    def names(self) -> set[str]:
        """The paths of all objects below the prefix, without the empty ones that mark folders."""
        self._files.invalidate_cache()
        found: list[str] = self._store.ask(lambda: self._files.find(self._url))
        base = self._url.partition("://")[2] + "/"
        files = [path for path in found if path.startswith(base) and not path.endswith("/")]
        return {path.removeprefix(base) for path in files}

    def check_alone(self, others: set[str]) -> None:
        """UsageError where there are objects besides the release's own."""
        if others:
            count = "1 file that is" if len(others) == 1 else f"{len(others)} files that are"
            raise UsageError(
                f"{self._store.shown} holds {count} no part of this release, such as "
                f"{printable(min(others))}: choose another place, or remove what nobody uses."
            )

    def put(self, file: ReleaseFile) -> bool:
        """Whether the file was sent; it is there in the end, as it should be."""
        if (size := self._size(file.path)) is not None:
            if not self._holds(file, size):
                raise self.taken(file.path)
            return False
        check_source(file)
        try:
            self._store.send(file.path, lambda: self._create(file), FileExistsError)
            created = True
        except FileExistsError:  # of an attempt whose answer was lost, or somebody else's
            created = False
        if self._holds(file, self._size(file.path)):
            return True
        if not created:
            raise self.taken(file.path)
        raise CheckError(
            f"{self._store.shown} does not give {file.path} back as it was sent: remove it there, "
            "and run the same command again."
        )

    def small(self, path: str, size: int) -> bytes | None:
        """A small object, cut behind `size` bytes; None where there is none."""
        if self._size(path) is None:
            return None
        return self._read(path, 0, size + 1)

    def taken(self, path: str) -> UsageError:
        return UsageError(
            f"{self._store.shown} holds another {path} than this release: choose another place, or "
            "remove it if nobody uses it."
        )

    def _create(self, file: ReleaseFile) -> None:
        url = f"{self._url}/{file.path}"
        if file.source is None:
            self._files.pipe_file(url, file.data, mode="create")
        else:
            self._files.put_file(str(file.source), url, mode="create", chunksize=PART)

    def _size(self, path: str) -> int | None:
        self._files.invalidate_cache()  # other writers' objects count

        def ask() -> int | None:
            try:
                return int(self._files.info(f"{self._url}/{path}")["size"])
            except FileNotFoundError:
                return None

        return self._store.ask(ask)

    def _read(self, path: str, start: int, stop: int) -> bytes:
        url = f"{self._url}/{path}"
        data: bytes = self._store.ask(lambda: self._files.cat_file(url, start=start, end=stop))
        return data

    def _holds(self, file: ReleaseFile, size: int | None) -> bool:
        """Whether the object of that size is the file, byte by byte."""
        if size != file.size:
            return False
        digest = hashlib.sha256()
        for start in range(0, size, BLOCK):
            digest.update(self._read(file.path, start, min(start + BLOCK, size)))
        return digest.hexdigest() == file.sha256
