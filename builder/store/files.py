"""Files behind a URL as bytes: buckets and hubs through fsspec, web servers in one reply each."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import PurePosixPath
from typing import Any, cast

from builder.contract import UsageError
from builder.store.url import WEB

BLOCK = 8 << 20  # bytes per request, and per repeated request
TIMEOUT = 30  # seconds to wait for a connection, and for the next byte


def file_system(scheme: str) -> Any:  # fsspec has no types
    """The process's fsspec file system for a scheme, with the user's own fsspec configuration.

    UsageError where the library that speaks the scheme is not installed.
    """
    ours: dict[str, dict[str, Any]] = {}
    if scheme == "s3":  # `Remote` asks again, so boto must not
        waits = {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT}
        ours = {"config_kwargs": {"retries": {"total_max_attempts": 1}, **waits}}
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
            entries = self._files.ls(self._url, detail=True, refresh=True)
        except FileNotFoundError:
            return {}
        except PermissionError:  # many public buckets give their files but no lists
            return None
        return {PurePosixPath(e["name"]).name: e["size"] for e in entries if e["type"] == "file"}

    def size(self) -> int | None:
        """The size in bytes."""
        return cast(int, self._files.info(self._url)["size"])

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, or to the end of the file."""
        end = {"size": stop} if self._url.startswith("hf:") else {}  # hf would read on otherwise
        return cast(bytes, self._files.cat_file(self._url, start=start, end=stop, **end))

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
    from aiohttp import ClientTimeout

    session = await files.set_session()
    headers = {**files.kwargs.get("headers", {}), "Range": span, "Accept-Encoding": "identity"}
    timeout = ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
    options = {**files.kwargs, "headers": headers, "timeout": timeout}
    reply = await session.get(files.encode_url(url), **options)
    reply.raise_for_status()
    return reply


async def _read(reply: Any, count: int) -> bytes:
    try:
        return cast(bytes, await reply.content.readexactly(count))
    except asyncio.IncompleteReadError as error:  # the file ends here
        return error.partial
