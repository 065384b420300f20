"""Datasets behind servers on localhost that fail in the ways networks fail."""

import hashlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import pytest

from builder.contract import sha256_bytes
from builder.store import Cache, Remote, files
from builder.store import remote as fetching

SHARD = "shards/gan10/train-00000-of-00002.tar"
KINDS = ("s3", "hf", "ranges", "plain")  # plain: a web server that ignores Range

Reply = tuple[int, dict[str, str], bytes]  # status, headers, body
Put = Callable[[str, bytes], None]


class Server(ThreadingHTTPServer):
    """Files by path, or another server's replies, with faults in the requests for tars."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64  # with fewer, the ninth connection at a time waits for a second

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.upstream: int | None = None  # port of a server that answers in our place
        self.hub = ""  # prefix of a Hugging Face dataset's files
        self.faults: list[str] = []  # one per request for a tar; "" = none
        self.refused = ""  # requests that hold this get 403
        self.moved: dict[str, str] = {}  # where requests for a path are sent on to
        self.drip = 0.0  # seconds between two bytes of a tar
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.stalled, self.go_on = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def tars(self) -> list[str]:
        """The ranges asked for in requests for tars."""
        return [head.get("Range", "") for _, path, head in self.requests if ".tar" in path]

    def handle_error(self, *_: object) -> None:
        """Clients may hang up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        head = {name.title(): value for name, value in self.headers.items()}
        server.requests.append((self.command, self.path, head))
        fault = server.faults.pop(0) if ".tar" in self.path and server.faults else ""
        reply = self.answer(head)
        if server.refused and server.refused in self.path:
            fault = "403"
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        if fault == "stall":
            server.stalled.set()
            server.go_on.wait(20)
        self.send(reply, fault)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def send(self, reply: Reply, fault: str) -> None:
        status, headers, body = reply
        if fault == "flip":
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.isdecimal():
            status, headers, body = int(fault), {}, b""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command == "GET":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET" and self.server.drip and ".tar" in self.path:
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(self.server.drip)
        elif self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if fault in ("cut", "half") else body)
            if fault == "half":  # gives the client the time to take it
                time.sleep(0.5)
        self.close_connection = self.close_connection or fault in ("cut", "half")

    def answer(self, head: dict[str, str]) -> Reply:
        server = self.server
        if server.upstream:
            return self.forward(server.upstream)
        path = unquote(urlsplit(self.path).path)
        if path in server.moved:
            return 302, {"Location": server.moved[path]}, b""
        if path.startswith("/api/"):
            return self.hub_page(path)
        if (data := server.files.get(path)) is None:
            return 404, {}, b""
        if not (server.ranges and "Range" in head):
            return 200, {}, data
        first, _, last = head["Range"].removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return 206, {"Content-Range": span}, part

    def forward(self, port: int) -> Reply:
        upstream = http.client.HTTPConnection("127.0.0.1", port)
        upstream.request(self.command, self.path, headers=dict(self.headers))
        reply = upstream.getresponse()
        body = reply.read()
        upstream.close()
        hop = {"connection", "date", "server", "transfer-encoding"}
        hop |= {"content-length"} if self.command == "GET" else set()
        return reply.status, {k: v for k, v in reply.getheaders() if k.lower() not in hop}, body

    def hub_page(self, path: str) -> Reply:
        """What Hugging Face's API says of a dataset and of one of its folders."""
        page: Any = {"id": "some/set", "sha": "0" * 40, "siblings": [], "tags": []}
        if "/tree/" in path:
            folder = path.rpartition("/tree/main")[2].strip("/")
            page = [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for url, data in self.server.files.items()
                if (name := url.removeprefix(self.server.hub)).rpartition("/")[0] == folder
            ]
            if not page:
                return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"Content-Type": "application/json"}, json.dumps(page).encode()


@dataclass
class Far:
    """A dataset behind a URL, and how to fetch from it."""

    url: str
    server: Server
    put: Put
    folder: Path  # of the cache
    opened: list[Remote] = field(default_factory=list)

    def open(self, *, max_bytes: int = 1 << 20, url: str = "") -> Remote:
        """A Remote as another process would have it."""
        cache = Cache(folder=self.folder, max_bytes=max_bytes)
        self.opened.append(Remote(url or self.url, cache))
        return self.opened[-1]

    def fetch(self, data: bytes, path: str = SHARD, source: Remote | None = None) -> Path:
        """Fetch the file that should hold `data`."""
        source = source or self.open()
        return source.fetch(path, size=len(data), sha256=sha256_bytes(data))

    def put_many(self, count: int) -> list[tuple[str, bytes]]:
        """Paths and contents of files of 1,000 bytes, which are there now."""
        many = [(f"shards/{i}.tar", _content(1000, seed=i)) for i in range(count)]
        for path, data in many:
            self.put(path, data)
        return many

    def kept(self) -> set[str]:
        """The names of the files in the cache."""
        return {path.name for path in self.folder.iterdir()} - {".lock"}


def _content(size: int = 4500, seed: int = 0) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


@pytest.fixture(scope="session")
def content() -> Callable[..., bytes]:
    """Random bytes of a size (4,500) from a seed (0)."""
    return _content


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "BLOCK", 1000)
    monkeypatch.setattr(files, "BLOCK", 1000)
    monkeypatch.setattr(fetching, "FIRST_DELAY", 0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def _behind_s3(
    server: Server, port: int, bucket: str, patch: pytest.MonkeyPatch
) -> tuple[str, Put]:
    server.upstream = port
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    endpoint = {"endpoint_url": f"http://127.0.0.1:{server.server_port}"}
    patch.setitem(fsspec.config.conf, "s3", endpoint)

    def put(path: str, data: bytes) -> None:
        moto = http.client.HTTPConnection("127.0.0.1", port)
        for url, body in ((f"/{bucket}", b""), (f"/{bucket}/data/{path}", data)):
            moto.request("PUT", url, body, {"Authorization": "AWS testing:testing"})
            reply = moto.getresponse()
            assert (reply.status, reply.read()) == (200, b"")
        moto.close()

    return f"s3://{bucket}/data", put


@pytest.fixture
def make(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Far]]:
    """An empty dataset behind a server of one of KINDS."""
    made: list[Far] = []

    def make(kind: str) -> Far:
        base = "/data/"
        url = f"http://127.0.0.1:{server.server_port}/data"
        if kind == "hf":
            base = server.hub = "/datasets/some/set/resolve/main/"
            url = "hf://datasets/some/set"
            endpoint = {"endpoint": f"http://127.0.0.1:{server.server_port}"}
            monkeypatch.setitem(fsspec.config.conf, "hf", endpoint)
        server.ranges = kind != "plain"

        def put(path: str, data: bytes) -> None:
            server.files[base + path] = data

        if kind == "s3":
            url, put = _behind_s3(
                server,
                request.getfixturevalue("moto_port"),
                request.getfixturevalue("bucket_name"),
                monkeypatch,
            )
        made.append(Far(url, server, put, tmp_path / "cache"))
        return made[-1]

    yield make
    for source in [source for far in made for source in far.opened]:
        source.close()


@pytest.fixture(params=KINDS)
def far(make: Callable[[str], Far], request: pytest.FixtureRequest) -> Far:
    """An empty dataset behind a server of each kind."""
    return make(request.param)


@pytest.fixture
def web(make: Callable[[str], Far]) -> Far:
    """An empty dataset behind a web server that gives ranges."""
    return make("ranges")
