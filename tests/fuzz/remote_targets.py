"""The replies of a web server: whatever it sends after a request, as bytes."""

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from unittest.mock import patch

from bounds import Target

from builder.contract import sha256_bytes
from builder.store import Cache, Remote
from builder.store import remote as fetching

BODY = bytes(range(256)) * 5
URL = "shards/gan10/train-00000-of-00002.tar"


class Server:
    """Sends the same bytes after every request, and hangs up."""

    def __init__(self) -> None:
        self.reply = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection, suppress(OSError):
                connection.settimeout(2)
                asked = b""
                while b"\r\n\r\n" not in asked and (more := connection.recv(4096)):
                    asked += more
                connection.sendall(self.reply)


@cache
def server() -> Server:
    return Server()


def replies() -> Sequence[bytes]:
    span = f"Content-Range: bytes 0-{len(BODY) - 1}/{len(BODY)}\r\n".encode()
    length = f"Content-Length: {len(BODY)}\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n500\r\n" + BODY + b"\r\n0\r\n\r\n"
    return [
        b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + BODY,
        b"HTTP/1.1 206 Partial Content\r\n" + span + length + b"\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\n" + chunked,
    ]


REFUSED = (
    b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\nSet-Cookie: a=b\r\n\r\n" + BODY,
    b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 3\r\n\r\nno\n",
)


def reply(data: bytes, folder: Path) -> None:
    near = server()
    near.reply = data
    source = Remote(
        f"http://127.0.0.1:{near.port}/data?token=secret",
        Cache(folder=folder / "cache", max_bytes=1 << 20),
    )
    try:
        with patch.multiple(fetching, ATTEMPTS=2, FIRST_DELAY=0.0):
            _fetch_from(source)
    finally:
        source.close()


def _fetch_from(source: Remote) -> None:
    source.check_present({URL: len(BODY)})
    source.read("manifests/gan10.json", max_bytes=len(BODY))
    source.fetch(URL, size=len(BODY), sha256=sha256_bytes(BODY))


TARGETS = {"reply": Target(examples=replies, call=reply, refused=REFUSED)}
