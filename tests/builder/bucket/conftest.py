"""A bucket behind a proxy on localhost that fails in the ways that networks and stores fail."""

import hashlib
import http.client
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner

from builder.cli import cli
from builder.store import bucket, remote, sending
from trainer.cli import main

Files = Any  # fsspec has no types
Inside = Callable[..., None]
Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Answer = tuple[int, dict[str, str], bytes]  # status, headers, body


class Proxy(ThreadingHTTPServer):
    """Hands requests on to moto. `faults`: (method, part of the path, what goes wrong), once each.

    What goes wrong: a status, with S3's word for it; `lost`, the answer. With what is sent: `cut`,
    the connection in the middle of it; `flip`, a byte of it. With what is answered: `half`, the
    connection in the middle of it; `short`, it has no second half; `other`, a byte of it.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = port
        self.faults: list[tuple[str, str, str]] = []
        self.asked: list[tuple[str, str]] = []  # method and path of each request
        self.before: Callable[[str, str], object] = lambda *_: None
        self.page = 1000  # names in a part of a list
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
        status, headers, answer = (
            self.refusal(fault) if fault[:1].isdecimal() else self.forward(body)
        )
        if fault == "lost":
            self.close_connection = True
            return
        if fault == "short":
            answer = answer[: len(answer) // 2]
        if fault == "other":
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer)))
        elif fault:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer[: len(answer) // 2] if fault == "half" else answer)
        self.close_connection = self.close_connection or fault == "half"

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def refusal(self, fault: str) -> Answer:
        status, _, code = fault.partition(" ")
        text = f"<Error><Code>{code}</Code><Message>no</Message></Error>" if code else ""
        return int(status), {}, text.encode()

    def forward(self, body: bytes) -> Answer:
        moto = http.client.HTTPConnection("127.0.0.1", self.server.port)
        listing = "list-type=2" in self.path and "max-keys=" not in self.path
        path = f"{self.path}&max-keys={self.server.page}" if listing else self.path
        moto.request(self.command, path, body, dict(self.headers))
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
def place(s3: Files, bucket_name: str) -> str:
    """A folder of a new bucket."""
    s3.mkdir(f"s3://{bucket_name}")
    return f"s3://{bucket_name}/set"


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


# --- what is read -------------------------------------------------------------------------------

SAID = (
    "--license cc-by-4.0 --creator A --contact a@example.org --date 2026-11-29 "
    "--intended-use Research --source-terms Stay"
)
TRAINING = (
    "--network shufflenet_v2_x0_5 --init random --epochs 1 --min-positives 1 --device cpu "
    "--batch 8 --optimizer adam --lr 0.001"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A dataset and its release, on this disk and in a bucket."""

    here: Path  # a folder with set/ and release/
    there: str = "s3://inputs"

    def words(self, template: str, place: str | Path = "", run: Path = Path("run")) -> list[str]:
        """A command about the dataset at `place`, by default in the bucket, and about a run."""
        root = f"{place or self.there}/set"
        names = {
            **{"manifest": f"{root}/manifests/gan100.json", "root": root, "training": TRAINING},
            **{"release": f"{place or self.there}/release", "said": SAID, "run": run},
            "local": f"{self.here}/set/manifests/gan100.json",
        }
        return template.format(**names).split()


@pytest.fixture(scope="session")
def given(
    moto_port: int, built_once: Path, tmp_path_factory: pytest.TempPathFactory, xbuild: Xbuild
) -> Given:
    given = Given(here=tmp_path_factory.mktemp("given"))
    shutil.copytree(built_once, given.here / "set")
    done = xbuild(*given.words("share {manifest} --to {release} {said}", given.here))
    assert done.returncode == 0, done.stderr
    files = [path for path in given.here.rglob("*") if path.is_file()]
    objects = {f"/inputs/{path.relative_to(given.here)}": path.read_bytes() for path in files}
    moto = http.client.HTTPConnection("127.0.0.1", moto_port)
    for url, body in ({"/inputs": b""} | objects).items():
        moto.request("PUT", url, body, {"Authorization": "AWS testing:testing"})
        reply = moto.getresponse()
        assert (reply.status, reply.read()) == (200, b"")
    moto.close()
    return given


@pytest.fixture(scope="session")
def trained(given: Given, xtrain: Xbuild, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on the dataset of this disk."""
    run = tmp_path_factory.mktemp("trained") / "run"
    done = xtrain(*given.words("fit --shards {local} --out {run} {training}", run=run))
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="session")
def xtrain() -> Xbuild:
    """Run the command in this process; stdout, stderr and exit code come back as from its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in arguments]
        done = CliRunner().invoke(main, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def inside() -> Inside:
    """Run a command of xbuild in this process; its refusals are raised."""

    def run(*words: object) -> None:
        cli.main([str(word) for word in words], standalone_mode=False)

    return run
