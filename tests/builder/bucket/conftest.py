"""A bucket behind a proxy on localhost that fails in the ways that networks and stores fail."""

import hashlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from builder.cli import cli
from builder.store import bucket, remote, sending

Files = Any  # fsspec has no types


class Proxy(ThreadingHTTPServer):
    """Hands requests on to moto. `faults`: (method, part of the path, what goes wrong), once each.

    What goes wrong: a status; `cut`, the connection in the middle of the body; `lost`, the answer;
    `flip`, a byte of the body on its way.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = port
        self.faults: list[tuple[str, str, str]] = []
        self.asked: list[tuple[str, str]] = []  # method and path of each request
        self.before: Callable[[str, str], object] = lambda *_: None
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def sent(self) -> list[str]:
        """The paths of objects that somebody tried to write."""
        return [path for method, path in self.asked if method in ("PUT", "POST")]

    def handle_error(self, *_: object) -> None:
        """Connections are cut."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy

    def log_message(self, *_: object) -> None: ...

    def fault(self) -> str:
        for each in self.server.faults:
            if each[0] == self.command and each[1] in self.path:
                self.server.faults.remove(each)
                return each[2]
        return ""

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path))
        self.server.before(self.command, self.path)
        fault, size = self.fault(), int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size // 2 if fault == "cut" else size)
        if fault == "cut":
            self.close_connection = True
            return
        if fault == "flip":
            body = bytes([body[0] ^ 1]) + body[1:]
        status, headers, answer = (int(fault), {}, b"") if fault.isdecimal() else self.forward(body)
        if fault == "lost":
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer)))
        elif fault:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        moto = http.client.HTTPConnection("127.0.0.1", self.server.port)
        moto.request(self.command, self.path, body, dict(self.headers))
        reply = moto.getresponse()
        answer = reply.read()
        moto.close()
        hop = {"connection", "date", "server", "transfer-encoding"}
        hop |= {"content-length"} if self.command != "HEAD" else set()
        return reply.status, {k: v for k, v in reply.getheaders() if k.lower() not in hop}, answer


@pytest.fixture
def proxy(moto_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """The way to the bucket; waits are short, and the cache is the test's own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sending, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(remote, "FIRST_DELAY", 0.001)
    server = Proxy(moto_port)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", endpoint)  # of commands in other processes
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def s3(proxy: Proxy) -> Files:
    assert proxy.port
    return bucket.file_system("s3")


@pytest.fixture
def place(s3: Files, proxy: Proxy) -> str:
    """A folder of a new bucket."""
    name = f"bucket-{proxy.server_port}"
    s3.mkdir(f"s3://{name}")
    return f"s3://{name}/set"


@pytest.fixture
def there(s3: Files, place: str) -> Callable[[], dict[str, str]]:
    """The sha256 of every object in the place."""

    def of() -> dict[str, str]:
        s3.invalidate_cache()
        base = place.removeprefix("s3://") + "/"
        paths = s3.find(place)
        return {p.removeprefix(base): hashlib.sha256(s3.cat_file(p)).hexdigest() for p in paths}

    return of


@pytest.fixture(scope="session")
def local(built_once: Path, hashes: Callable[[Path], dict[str, str]]) -> dict[str, str]:
    """The sha256 of every file of the same dataset in a folder, without its picture and lock."""
    alone = ("manifests/gan100.png", ".lock")
    return {path: sha for path, sha in hashes(built_once).items() if path not in alone}


Xbuild = Callable[..., None]


@pytest.fixture
def inside() -> Xbuild:
    """Run a command of xbuild in this process; its refusals are raised."""

    def run(*words: object) -> None:
        cli.main([str(word) for word in words], standalone_mode=False)

    return run
