"""The files of a dataset below a URL: looked for, fetched once into the cache, checked there."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from builder.contract import CheckError, ShardEntry, UsageError, check_url, sha256_file
from builder.store.cache import SHA256, Cache, alone, identity, is_at, lock, mark_used, reserve
from builder.store.files import BLOCK, WEB, Object, WebFile, file_system, whole_block
from builder.store.url import checked_scheme, hopeless, without_secrets

ATTEMPTS = 9  # within one and a half minutes
FIRST_DELAY = 0.5  # seconds before the second attempt; twice as many before each further one
LAST_DELAY = 30.0  # but no more than these
_POLL = 0.05  # seconds between two looks at a lock

T = TypeVar("T")


class OutOfReach(CheckError):  # noqa: N818 - a state of things
    """The network failed, again and again: it says nothing about the file."""


class Remote:
    """The files below a root URL. Any number of threads may fetch; close it in the end.

    The user vouches for the root's host; the paths below it come from a stranger's manifest.
    No message shows the root's user, password or query.
    """

    def __init__(self, url: str, cache: Cache) -> None:
        """UsageError where the scheme is refused or the library that speaks it is missing."""
        self._scheme = checked_scheme(url)
        self._files = file_system(self._scheme)
        self._root, self._shown = url, without_secrets(url)
        self._cache = cache
        self._known: dict[str, tuple[int, int, int]] = {}  # sha256 → identity when it was right
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="fetch")

    def close(self) -> None:
        """End the prefetching; nothing can be fetched afterwards."""
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def read(self, url: str, *, max_bytes: int) -> bytes:
        """A small file, not cached; CheckError where it has more than `max_bytes`."""
        with closing(self._place(self._at(url))) as source:
            data = self._patiently(url, partial(source.read, 0, max_bytes + 1))
        if len(data) > max_bytes:
            raise self._refusal(url, f"it has more than the {max_bytes:,} bytes it may have")
        return data

    def missing(self, sizes: Mapping[str, int]) -> None:
        """CheckError names the first file that is not there or has not that many bytes.

        Folders are listed where the store can; else each file is asked for its size. A file whose
        size a web server does not tell passes: `fetch` will see.
        """
        folders = {str(PurePosixPath(url).parent) for url in sizes}
        with ThreadPoolExecutor(8) as pool:
            listed = dict(zip(folders, pool.map(self._listing, folders), strict=True))
            checks = pool.map(partial(self._check_size, listed), sizes, sizes.values())
            deque(checks, maxlen=0)  # raises what the first of them raised

    def prefetch(self, shards: Iterable[ShardEntry]) -> None:
        """Fetch these in the background, in order; what fails shows when it is needed."""
        for shard in shards:
            size, sha256 = shard.filesize, shard.sha256
            self._pool.submit(self.fetch, shard.url, size=size, sha256=sha256)

    def fetch(self, url: str, *, size: int, sha256: str) -> Path:
        """The local file with this size and sha256; CheckError names `url` where it cannot be had.

        Another fetch may evict it: whoever has it open keeps it, whoever comes too late to open it
        fetches again.
        """
        where, path = self._at(url), self._cache.folder / sha256
        if not SHA256.fullmatch(sha256):
            raise CheckError(f"{url} has no valid sha256.")
        if size > self._cache.max_bytes:
            raise UsageError(
                f"{url} has {size:,} bytes and does not fit into the cache of "
                f"{self._cache.max_bytes:,} bytes: raise --cache-size."
            )
        try:
            self._cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_good(path, size):
                with self._claimed(path.with_suffix(".part")) as file:
                    if not self._is_good(path, size):  # nobody fetched it while we waited
                        self._download(url, where, file, path, size)
        except OSError as error:  # of this disk: those of the remote side are CheckErrors by now
            raise UsageError(
                f"Cannot keep {url} in the cache {self._cache.folder}: {error.strerror}; "
                "make room there or name another folder."
            ) from None
        return path

    # --- the cache -------------------------------------------------------------------------------

    def _is_good(self, path: Path, size: int) -> bool:
        """Whether the cached file is right; it is hashed unless it is as when it last was right."""
        try:
            found = identity(path)
            if self._known.get(path.name) != found and sha256_file(path) != path.name:
                return False
            self._known[path.name] = found
            mark_used(path)
        except FileNotFoundError:
            return False
        return found[1] == size

    def _download(self, url: str, where: str, file: BinaryIO, path: Path, size: int) -> None:
        path.unlink(missing_ok=True)  # what is there is damaged
        while not reserve(self._cache, file, size):
            self._pause(_POLL)  # other downloads hold all of the space
        if not any(self._copy(url, where, file, size) == path.name for _ in range(2)):
            raise CheckError(
                f"The file {url} at {self._shown} is not the one sealed: its sha256 differs; "
                "ask its publisher to upload it again."
            )
        file.flush()
        os.fsync(file.fileno())
        with alone(self._cache.folder):  # else a count of the space might miss it
            path.with_suffix(".part").replace(path)
        mark_used(path)
        self._known[path.name] = identity(path)

    def _copy(self, url: str, where: str, file: BinaryIO, size: int) -> str:
        """The sha256 of the `size` bytes that were copied into `file`."""
        digest = hashlib.sha256()
        file.seek(0)
        with closing(self._place(where)) as source:
            for start in range(0, size, BLOCK):
                ask = partial(whole_block, source, start, min(start + BLOCK, size))
                block = self._patiently(url, ask)
                digest.update(block)
                file.write(block)
        return digest.hexdigest()

    @contextmanager
    def _claimed(self, part: Path) -> Iterator[BinaryIO]:
        """The temporary file, empty and ours alone; it is gone afterwards unless it was renamed."""
        while True:
            with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                if not (lock(file) and is_at(file, part)):  # whoever holds it fetches for us too
                    self._pause(_POLL)
                    continue
                try:
                    file.truncate(0)
                    yield file
                finally:
                    if is_at(file, part):
                        part.unlink()
                return

    # --- the remote side -------------------------------------------------------------------------

    def _at(self, url: str) -> str:
        """The whole URL of a relative one; a query of the root, such as a token, stays last."""
        check_url(url)
        base, mark, query = self._root.partition("?")
        return f"{base.rstrip('/')}/{url}{mark}{query}"

    def _place(self, where: str) -> Object | WebFile:
        kind = WebFile if self._scheme in WEB else Object
        return kind(self._files, where)

    def _listing(self, folder: str) -> dict[str, int] | None:
        where = self._root if folder == "." else self._at(folder)
        return self._patiently(folder, self._place(where).list)

    def _check_size(self, listed: Mapping[str, dict[str, int] | None], url: str, size: int) -> None:
        path, where = PurePosixPath(url), self._at(url)
        listing = listed[str(path.parent)]
        if listing is None:
            found = self._patiently(url, self._place(where).size)
        elif path.name in listing:
            found = listing[path.name]
        else:
            raise self._refusal(url, hopeless(FileNotFoundError(), self._scheme))
        if found is not None and found != size:
            why = f"it has {found:,} bytes, the manifest says {size:,}"
            raise self._refusal(url, f"{why}; ask its publisher to upload it again")

    def _patiently(self, url: str, ask: Callable[[], T]) -> T:
        """What `ask` gives, asked again after failures that may pass."""
        last = ""
        for attempt in range(ATTEMPTS):
            self._pause(min(FIRST_DELAY * 2 ** (attempt - 1), LAST_DELAY) if attempt else 0)
            try:
                return ask()
            except Exception as error:  # each store raises what its own library does
                if why := hopeless(error, self._scheme):
                    raise self._refusal(url, why) from None
                last = type(error).__name__  # its text may hold the whole URL
        why = f"{ATTEMPTS} attempts failed, the last one with {last}"
        raise OutOfReach(str(self._refusal(url, f"{why}; check the network and start again")))

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise CheckError(f"Fetching from {self._shown} was ended.")

    def _refusal(self, url: str, why: str) -> CheckError:
        return CheckError(f"Cannot fetch {url} from {self._shown}: {why}.")
