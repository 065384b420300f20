"""The files of a dataset below a URL: fetched once into the cache, and checked there."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from builder.contract import (
    CheckError,
    ShardEntry,
    UsageError,
    check_url,
    sha256_bytes,
    sha256_file,
)
from builder.store.cache import (
    SHA256,
    Cache,
    FileState,
    exclusive,
    file_state,
    is_at,
    mark_used,
    reserve,
    try_lock,
)
from builder.store.files import BLOCK, StoreFile, WebFile, file_system, read_block
from builder.store.threads import Threads
from builder.store.url import (
    WEB,
    failure,
    is_missing,
    parse_scheme,
    permanent_failure,
    without_secrets,
)

ATTEMPTS = 9  # within one and a half minutes
FIRST_DELAY = 0.5  # seconds before the second attempt; doubled before each further one
MAX_DELAY = 30.0  # seconds between two attempts
_POLL = 0.05  # seconds between two looks at a lock

T = TypeVar("T")
Advance = Callable[[int], object]  # (bytes that arrived since the last call; -all to start again)


class OutOfReach(CheckError):  # noqa: N818 - a state of the network, not a fault of the file
    """The network failed at every attempt: this says nothing about the file."""


class Refused(OutOfReach):
    """The store does not answer whoever asks so: this says nothing about the file, either."""


class Remote:
    """The files below a root URL. Any number of threads may fetch; close it in the end.

    The user vouches for the root's host; the paths below it come from a stranger's manifest.
    No message shows the root's user, password or query.
    """

    def __init__(self, url: str, cache: Cache) -> None:
        """UsageError where the scheme is refused or the library that speaks it is missing."""
        self._scheme = parse_scheme(url)
        self._files = file_system(self._scheme)
        self._root, self.shown = url, without_secrets(url)
        self._cache = cache
        self._known: dict[str, FileState] = {}  # by sha256, as they were when it was right
        self._closed = threading.Event()
        self._pool = Threads(2)

    def close(self) -> None:
        """End the prefetching; nothing can be fetched afterwards."""
        self._closed.set()
        self._pool.stop()

    def read(self, path: str, *, max_bytes: int, sha256: str = "") -> bytes:
        """A small file, not cached; CheckError where it has more than `max_bytes`.

        With `sha256` also where that of its bytes is another one, twice.
        """
        for _ in range(2):
            with closing(self._open(self._url_of(path))) as source:
                data = self._retry(path, partial(source.read, 0, max_bytes + 1))
            if len(data) > max_bytes:
                raise self._refusal(path, f"it has more than the {max_bytes:,} bytes it may have")
            if sha256 in ("", sha256_bytes(data)):
                return data
        raise self._other(path)

    def check_present(self, sizes: Mapping[str, int]) -> None:
        """CheckError names the first file that is missing or does not have that many bytes.

        Folders are listed where the store can do that; otherwise each file is asked for its size.
        A file whose size a web server does not say passes here: `fetch` checks it.
        """
        folders = {str(PurePosixPath(path).parent) for path in sizes}
        with Threads(8) as pool:
            listed = dict(zip(folders, pool.map(self._listing, folders), strict=True))
            checks = pool.map(partial(self._check_size, listed), sizes, sizes.values())
            deque(checks, maxlen=0)  # raises what the first of them raised

    def check_size(self, path: str, size: int) -> None:
        """CheckError where the file is missing or does not have that many bytes."""
        self._check_size({str(PurePosixPath(path).parent): None}, path, size)

    def forget(self, sha256: str) -> None:
        """Remove a file that was fetched from the cache."""
        (self._cache.folder / sha256).unlink(missing_ok=True)

    def prefetch(self, shards: Iterable[ShardEntry]) -> None:
        """Fetch these in the background, in order; a failure shows when the file is needed."""
        for shard in shards:
            size, sha256 = shard.filesize, shard.sha256
            self._pool.submit(self.fetch, shard.url, size=size, sha256=sha256)

    def fetch(
        self, path: str, *, size: int, sha256: str, advance: Advance = lambda _: None
    ) -> Path:
        """The local file with this size and sha256; CheckError says why `path` does not give it.

        Another fetch may evict it. A process that has it open keeps it; one that comes too late to
        open it fetches again.
        """
        url, local = self._url_of(path), self._cache.folder / sha256
        if not SHA256.fullmatch(sha256):
            raise CheckError(f"{path} has no valid sha256.")
        if size > self._cache.max_bytes:
            raise UsageError(
                f"{path} has {size:,} bytes and does not fit into the cache of "
                f"{self._cache.max_bytes:,} bytes: raise --cache-size."
            )
        try:
            self._cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_good(local, size):
                with self._claim(local.with_suffix(".part")) as file:
                    if not self._is_good(local, size):  # still missing after the wait
                        self._download(path, url, file, local, size, advance)
        except OSError as error:  # of this disk: those of the remote side are CheckErrors by now
            raise UsageError(
                f"Cannot keep {path} in the cache {self._cache.folder}: {error.strerror}; "
                "make room there or name another folder."
            ) from None
        return local

    # --- the cache -------------------------------------------------------------------------------

    def _is_good(self, local: Path, size: int) -> bool:
        """Whether the cached file is right; it is hashed only if it changed since it last was."""
        try:
            found = file_state(local)
            if self._known.get(local.name) != found and sha256_file(local) != local.name:
                return False
            self._known[local.name] = found
            mark_used(local)
        except FileNotFoundError:
            return False
        return found.size == size

    def _download(
        self, path: str, url: str, file: BinaryIO, local: Path, size: int, advance: Advance
    ) -> None:
        local.unlink(missing_ok=True)  # what is there is damaged
        while not reserve(self._cache, file, size):
            self._pause(_POLL)  # other downloads hold all of the space
        for _ in range(2):
            if self._copy(path, url, file, size, advance) == local.name:
                break
            advance(-size)
        else:
            raise self._other(path)
        file.flush()
        os.fsync(file.fileno())
        with exclusive(self._cache.folder):  # otherwise a count of the space might miss it
            local.with_suffix(".part").replace(local)
        mark_used(local)
        self._known[local.name] = file_state(local)

    def _copy(self, path: str, url: str, file: BinaryIO, size: int, advance: Advance) -> str:
        """The sha256 of the `size` bytes that were copied into `file`."""
        digest = hashlib.sha256()
        file.seek(0)
        with closing(self._open(url)) as source:
            for start in range(0, size, BLOCK):
                ask = partial(read_block, source, start, min(start + BLOCK, size))
                block = self._retry(path, ask)
                digest.update(block)
                file.write(block)
                advance(len(block))
        return digest.hexdigest()

    @contextmanager
    def _claim(self, part: Path) -> Iterator[BinaryIO]:
        """The temporary file, empty and ours alone; it is removed unless it was renamed."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        while True:
            with os.fdopen(os.open(part, flags, 0o600), "r+b") as file:
                if not (try_lock(file) and is_at(file, part)):
                    self._pause(_POLL)  # the process that has it fetches for us, too
                    continue
                try:
                    file.truncate(0)
                    yield file
                finally:
                    if is_at(file, part):
                        part.unlink()
                return

    # --- the remote side -------------------------------------------------------------------------

    def _url_of(self, path: str) -> str:
        """The whole URL of a path; a query of the root, such as a token, stays at the end."""
        check_url(path)
        base, mark, query = self._root.partition("?")
        return f"{base.rstrip('/')}/{path}{mark}{query}"

    def _open(self, url: str) -> StoreFile | WebFile:
        kind = WebFile if self._scheme in WEB else StoreFile
        return kind(self._files, url)

    def _listing(self, folder: str) -> dict[str, int] | None:
        url = self._root if folder == "." else self._url_of(folder)
        return self._retry(folder, self._open(url).list)

    def _check_size(
        self, listed: Mapping[str, dict[str, int] | None], path: str, size: int
    ) -> None:
        place, url = PurePosixPath(path), self._url_of(path)
        listing = listed[str(place.parent)] or {}
        if place.name in listing:
            found: int | None = listing[place.name]
        else:  # no list, or one that is behind: the file itself is asked for
            found = self._retry(path, self._open(url).size)
        if found is not None and found != size:
            why = f"it has {found:,} bytes, but the manifest says {size:,}"
            raise self._refusal(path, f"{why}; ask its publisher to upload it again")

    def _retry(self, path: str, ask: Callable[[], T]) -> T:
        """What `ask` gives, asked again after failures that may pass."""
        last = ""
        for attempt in range(ATTEMPTS):
            self._pause(min(FIRST_DELAY * 2 ** (attempt - 1), MAX_DELAY) if attempt else 0)
            try:
                return ask()
            except Exception as error:  # each store raises what its own library does
                if why := permanent_failure(error, self._scheme):
                    refusal = self._refusal(path, why)
                    raise (refusal if is_missing(error) else Refused(str(refusal))) from None
                last = failure(error)
        why = f"{ATTEMPTS} attempts failed, the last one with {last}"
        raise OutOfReach(str(self._refusal(path, f"{why}; check the network and start again")))

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise CheckError(f"Fetching from {self.shown} was ended.")

    def _other(self, path: str) -> CheckError:
        return CheckError(
            f"The file {path} at {self.shown} is not the sealed one: its sha256 differs; ask its "
            "publisher to upload it again."
        )

    def _refusal(self, path: str, why: str) -> CheckError:
        return CheckError(f"Cannot fetch {path} from {self.shown}: {why}.")
