"""Files behind a URL as bytes: buckets and hubs through fsspec, web servers in one reply each.

Headers, cookies and passwords that the user set are for the host that the user named: a redirect to
another host goes without them. What comes more slowly than any line that works is given up.
"""

import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import PurePosixPath
from time import monotonic
from typing import Any, cast

from builder.contract import UsageError
from builder.store.threads import within
from builder.store.url import WEB, is_beyond_end

BLOCK = 8 << 20  # bytes per request, and per repeated request
TIMEOUT = 30  # seconds to wait for a connection, and for the next byte
WINDOW = 30  # seconds over which the speed of a reply is looked at
SLOWEST = 1 << 10  # bytes per second within them; a modem had five times as many
SLOWEST_BLOCK = 1 << 15  # bytes per second of a block of a store, which comes as a whole
LISTING = 300  # seconds for what has no size, such as a list

_REDIRECTS = 10
_MOVED = (301, 302, 303, 307, 308)
_FOR_ANY_HOST = ("ssl", "proxy", "proxy_auth", "proxy_headers")  # of what the user set


def file_system(scheme: str) -> Any:  # fsspec has no types
    """The process's fsspec file system for a scheme, with the user's own fsspec configuration.

    UsageError where the library that speaks the scheme is not installed.
    """
    ours: dict[str, dict[str, Any]] = {}
    if scheme == "s3":  # `Remote` asks again, so boto must not
        waits = {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT}
        # All that is read is hashed: boto must not take other bytes for a failure that may pass.
        hashed = {"response_checksum_validation": "when_required"}
        ours = {"config_kwargs": {"retries": {"total_max_attempts": 1}, **waits, **hashed}}
    elif scheme in WEB:
        ours = {"client_kwargs": {"trust_env": True}}  # the proxies of hospitals
    try:
        import fsspec  # type: ignore[import-untyped]

        kind = fsspec.get_filesystem_class(scheme)
        options = fsspec.config.apply_config(kind, {})
        options |= {key: value | options.get(key, {}) for key, value in ours.items()}
        files = kind(**options)
    except ImportError:
        extra = "gcsfs" if scheme == "gs" else "'cxr-rebalance[remote]'"
        raise UsageError(
            f"{scheme}:// needs a library that is not installed: pip install {extra}."
        ) from None
    if scheme == "s3":
        files.retries = 1  # s3fs would ask again, too
    return files


class StoreFile:
    """A file or folder in a store that lists its folders and gives ranges: s3, gs, hf."""

    def __init__(self, files: Any, url: str) -> None:
        """`url` is the whole URL, `files` the fsspec file system that speaks its protocol."""
        self._files, self._url = files, url

    def list(self) -> dict[str, int] | None:
        """Name → bytes of the folder's files; None where listing is refused."""
        try:
            ask = partial(self._files.ls, self._url, detail=True, refresh=True)
            entries = within(LISTING, ask)
        except FileNotFoundError:
            return {}
        except PermissionError:  # many public buckets give their files but no lists
            return None
        return {PurePosixPath(e["name"]).name: e["size"] for e in entries if e["type"] == "file"}

    def size(self) -> int | None:
        """The size in bytes, as the file itself says and no list of before."""
        fresh = {} if self._url.startswith("hf:") else {"refresh": True}  # a commit has one list
        return cast(int, within(LISTING, partial(self._files.info, self._url, **fresh))["size"])

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, or to the end of the file."""
        end = {"size": stop} if self._url.startswith("hf:") else {}  # hf would read on otherwise
        ask = partial(self._files.cat_file, self._url, start=start, end=stop, **end)
        try:
            return cast(bytes, within(TIMEOUT + (stop - start) / SLOWEST_BLOCK, ask))
        except Exception as error:  # each store raises what its own library does
            if is_beyond_end(error):  # as of a file without a byte
                return b""
            raise

    def close(self) -> None:
        """Nothing is open."""


class WebFile:
    """A file behind http(s), read in order from one reply; a reply that breaks is asked for again.

    So a server that ignores ranges, as `python -m http.server` does, sends a file once.
    """

    def __init__(self, files: Any, url: str) -> None:
        """`url` is the whole URL, `files` the fsspec file system that speaks its protocol."""
        self._files, self._url = files, url
        self._reply: Any = None
        self._next = 0  # the byte of the file that the reply gives next

    def list(self) -> None:
        """None: a web server's pages are no reliable lists."""

    def size(self) -> int | None:
        """The size in bytes; None where the server does not say."""
        reply = self._reply = self._ask("bytes=0-0")
        self.close()
        if reply.status != 206:
            return cast("int | None", reply.content_length)
        total = reply.headers.get("Content-Range", "").rpartition("/")[2]
        return int(total) if total.isdecimal() else None

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, or to the end of the file."""
        try:
            if self._reply is None or self._next != start:
                self._ask_from(start)
            return self._take(stop - start)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up; a later read asks again."""
        if self._reply is not None:  # it belongs to the thread that runs fsspec's loop
            self._files.loop.call_soon_threadsafe(self._reply.close)
        self._reply = None

    def _ask_from(self, start: int) -> None:
        self.close()
        self._reply = self._ask(f"bytes={start}-")
        self._next = start if self._reply.status == 206 else 0
        while self._next < start:
            if not self._take(min(BLOCK, start - self._next)):
                raise EOFError

    def _ask(self, span: str) -> Any:
        return self._run(_get, self._files, self._url, span)

    def _take(self, count: int) -> bytes:
        block = cast(bytes, self._run(_read, self._reply, count))
        self._next += len(block)
        return block

    def _run(self, what: Callable[..., Coroutine[Any, Any, Any]], *args: object) -> Any:
        from fsspec.asyn import sync  # type: ignore[import-untyped]

        return sync(self._files.loop, what, *args)


def read_block(source: StoreFile | WebFile, start: int, stop: int) -> bytes:
    """The bytes from `start` to `stop`; EOFError where the file ends earlier."""
    block = source.read(start, stop)
    if len(block) != stop - start:
        source.close()
        raise EOFError
    return block


async def _get(files: Any, url: str, span: str) -> Any:
    """The reply to a request for a span of bytes; the server may send the whole file instead."""
    from yarl import URL

    asked = place = files.encode_url(url)
    for _ in range(_REDIRECTS):
        reply = await _ask(files, place, span, trusted=place.origin() == asked.origin())
        if reply.status not in _MOVED:
            reply.raise_for_status()
            return reply
        reply.close()
        place = place.join(URL(reply.headers.get("Location", "")))
        if place.origin() == asked.origin():
            place = place.with_user(asked.user).with_password(asked.password)
    raise OSError(f"More than {_REDIRECTS} redirects.")


async def _ask(files: Any, place: Any, span: str, *, trusted: bool) -> Any:
    """The reply of one server, which may be a redirect."""
    from aiohttp import ClientTimeout

    session = await files.set_session() if trusted else _session_without_secrets(files)
    own = files.kwargs if trusted else {k: v for k, v in files.kwargs.items() if k in _FOR_ANY_HOST}
    headers = {**own.get("headers", {}), "Range": span, "Accept-Encoding": "identity"}
    timeout = ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
    options = {**own, "headers": headers, "timeout": timeout, "allow_redirects": False}
    return await session.get(place, **options)


_plain_sessions: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


def _session_without_secrets(files: Any) -> Any:
    """The file system's second session, which knows nothing that the user set for a host."""
    from aiohttp import ClientSession, DummyCookieJar

    if files not in _plain_sessions:
        session = ClientSession(trust_env=True, cookie_jar=DummyCookieJar())
        weakref.finalize(files, files.close_session, files.loop, session)
        _plain_sessions[files] = session
    return _plain_sessions[files]


async def _read(reply: Any, count: int) -> bytes:
    """The next bytes, fewer at the file's end; TimeoutError where they come too slowly."""
    blocks, missing, begun, came = [], count, monotonic(), 0
    while missing and (block := await reply.content.read(missing)):
        blocks.append(block)
        missing, came = missing - len(block), came + len(block)
        if (seconds := monotonic() - begun) > WINDOW:
            if came < SLOWEST * seconds:
                raise TimeoutError
            begun, came = monotonic(), 0
    return b"".join(blocks)
