"""The cache and its checks, against servers on localhost that fail in the ways networks fail."""

import hashlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

import fsspec
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from builder.contract import CheckError, ShardEntry, UsageError
from builder.store import Cache, Remote, default_cache_folder, files, is_url
from builder.store import remote as fetching
from trainer.cli import main

SHARD = "shards/gan10/train-00000-of-00002.tar"
OTHER = "shards/gan10/train-00001-of-00002.tar"
BLOCK = 1000
KINDS = ("s3", "hf", "ranges", "plain")  # plain: a web server that ignores Range


class Server(ThreadingHTTPServer):
    """Files by path, or another server's replies, with faults in the requests for tars."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64  # else the ninth connection at a time waits for a second

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.upstream: int | None = None  # port of a server that answers in our place
        self.hub = ""  # prefix of a Hugging Face dataset's files
        self.faults: list[str] = []  # one per request for a tar; "" = none
        self.refused = ""  # requests that hold this get 403
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
        status, headers, body = self.answer(head)
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
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if fault in ("cut", "half") else body)
            if fault == "half":  # gives the client the time to take it
                time.sleep(0.5)
        self.close_connection = self.close_connection or fault in ("cut", "half")

    do_HEAD = do_GET  # noqa: N815  http.server's name

    def answer(self, head: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        server = self.server
        if server.upstream:
            return self.forward(server.upstream)
        path = unquote(urlsplit(self.path).path)
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

    def forward(self, port: int) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", port)
        upstream.request(self.command, self.path, headers=dict(self.headers))
        reply = upstream.getresponse()
        body = reply.read()
        upstream.close()
        hop = {"connection", "date", "server", "transfer-encoding"}
        hop |= {"content-length"} if self.command == "GET" else set()
        return reply.status, {k: v for k, v in reply.getheaders() if k.lower() not in hop}, body

    def hub_page(self, path: str) -> tuple[int, dict[str, str], bytes]:
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
    put: Callable[[str, bytes], None]
    folder: Path
    opened: list[Remote] = field(default_factory=list)

    def open(self, *, max_bytes: int = 1 << 20, url: str = "") -> Remote:
        """Another process's view, as far as the cache can tell."""
        cache = Cache(folder=self.folder, max_bytes=max_bytes)
        self.opened.append(Remote(url or self.url, cache))
        return self.opened[-1]

    def kept(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {".lock"}


def content(size: int = 4500, seed: int = 0) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(source: Remote, data: bytes, url: str = SHARD) -> Path:
    return source.fetch(url, size=len(data), sha256=sha256(data))


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "BLOCK", BLOCK)
    monkeypatch.setattr(files, "BLOCK", BLOCK)
    monkeypatch.setattr(fetching, "FIRST_DELAY", 0.001)


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def behind_s3(
    server: Server, port: int, patch: pytest.MonkeyPatch
) -> tuple[str, Callable[..., None]]:
    server.upstream = port
    bucket = f"bucket-{server.server_port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    endpoint = {"endpoint_url": f"http://127.0.0.1:{server.server_port}"}
    patch.setitem(fsspec.config.conf, "s3", endpoint)

    def put(url: str, data: bytes) -> None:
        moto = http.client.HTTPConnection("127.0.0.1", port)
        for path, body in ((f"/{bucket}", b""), (f"/{bucket}/data/{url}", data)):
            moto.request("PUT", path, body, {"Authorization": "AWS testing:testing"})
            reply = moto.getresponse()
            assert (reply.status, reply.read()) == (200, b"")
        moto.close()

    return f"s3://{bucket}/data", put


@pytest.fixture
def make(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Far]]:
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

        def put(url: str, data: bytes) -> None:
            server.files[base + url] = data

        if kind == "s3":
            url, put = behind_s3(server, request.getfixturevalue("moto_port"), monkeypatch)
        made.append(Far(url, server, put, tmp_path / "cache"))
        return made[-1]

    yield make
    for source in [source for far in made for source in far.opened]:
        source.close()


@pytest.fixture(params=KINDS)
def far(make: Callable[[str], Far], request: pytest.FixtureRequest) -> Far:
    return make(request.param)


@pytest.fixture
def web(make: Callable[[str], Far]) -> Far:
    return make("ranges")


# --- fetching ------------------------------------------------------------------------------------


def test_a_file_is_fetched_once(far: Far) -> None:
    data = content()
    far.put(SHARD, data)
    source = far.open()
    path = fetch(source, data)
    assert path.read_bytes() == data
    assert far.kept() == {path.name} == {sha256(data)}
    asked = len(far.server.requests)
    assert fetch(source, data) == fetch(far.open(), data) == path
    assert len(far.server.requests) == asked


FAULTS = ("reset", "cut", "500", "503", "429", "flip")
TRIALS = [(kind, fault) for kind in ("s3", "ranges", "plain") for fault in FAULTS]
TRIALS += [("hf", "503"), ("hf", "flip")]  # its library waits a second by itself


@pytest.mark.parametrize(("kind", "fault"), TRIALS)
def test_a_fault_that_passes_is_not_seen(make: Callable[[str], Far], kind: str, fault: str) -> None:
    far, data = make(kind), content()
    far.put(SHARD, data)
    far.server.faults = [fault]
    assert fetch(far.open(), data).read_bytes() == data
    assert far.server.faults == []


@pytest.mark.parametrize("kind", ["s3", "ranges", "plain"])
def test_a_server_that_falls_silent_is_asked_again(
    make: Callable[[str], Far], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "TIMEOUT", 1)
    far, data = make(kind), content()
    far.put(SHARD, data)
    far.server.faults = ["stall"]
    assert fetch(far.open(), data).read_bytes() == data
    assert far.server.stalled.is_set()


def test_a_proxy_is_used(web: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.url.removesuffix("/data"))
    web.put(SHARD, content())
    fetch(web.open(url="http://nowhere.invalid/data"), content())
    assert web.server.requests[0][1] == f"http://nowhere.invalid/data/{SHARD}"


@pytest.mark.parametrize("kind", ["ranges", "plain"])
def test_a_broken_reply_goes_on_where_it_broke(make: Callable[[str], Far], kind: str) -> None:
    far, data = make(kind), content()
    far.put(SHARD, data)
    far.server.faults = ["half"]
    fetch(far.open(), data)
    assert far.server.tars() in (["bytes=0-", f"bytes={start}-"] for start in (1000, 2000))


@pytest.mark.parametrize("kind", ["s3", "hf"])
def test_a_store_is_asked_for_one_block_at_a_time(make: Callable[[str], Far], kind: str) -> None:
    far, data = make(kind), content(2500)
    far.put(SHARD, data)
    fetch(far.open(), data)
    assert far.server.tars() == ["bytes=0-999", "bytes=1000-1999", "bytes=2000-2499"]


def test_a_server_without_ranges_sends_a_file_once(make: Callable[[str], Far]) -> None:
    far, data = make("plain"), content()
    far.put(SHARD, data)
    fetch(far.open(), data)
    assert far.server.tars() == ["bytes=0-"]
    assert far.server.requests[0][2]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("s3", "503"), ("s3", "reset"), ("s3", "cut"), ("ranges", "503"), ("plain", "reset")],
)
def test_a_fault_that_stays_is_tried_a_few_times_ever_later(
    make: Callable[[str], Far], kind: str, fault: str
) -> None:
    far, data, began = make(kind), content(), time.monotonic()
    far.put(SHARD, data)
    far.server.faults = [fault] * 100
    with pytest.raises(
        CheckError, match=rf"Cannot fetch {SHARD} from .*9 attempts failed.*network"
    ):
        fetch(far.open(), data)
    each = 2 if fault == "reset" else 1  # aiohttp itself asks again when a connection was closed
    assert 9 <= len(far.server.tars()) <= 9 * each
    assert time.monotonic() - began > 0.001 * (2**8 - 1)
    assert far.kept() == set()


@pytest.mark.parametrize(
    ("fault", "words"),
    [("404", "not there; check the URL"), ("403", "access is refused; (set|run)")],
)
def test_what_cannot_be_mended_fails_at_once(far: Far, fault: str, words: str) -> None:
    data = content()
    far.put(SHARD, data)
    far.server.faults = [fault] * 100
    with pytest.raises(CheckError, match=rf"Cannot fetch {SHARD} from {far.url}: .*{words}"):
        fetch(far.open(), data)
    assert len(far.server.tars()) == 1


def test_missing_credentials_are_named(
    make: Callable[[str], Far], monkeypatch: pytest.MonkeyPatch
) -> None:
    far = make("s3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CheckError, match=r"access is refused; set AWS_PROFILE .* FSSPEC_S3_ANON"):
        fetch(far.open(), content())


def test_a_file_that_was_not_sealed_is_refused(far: Far) -> None:
    far.put(SHARD, content(seed=1))
    with pytest.raises(
        CheckError, match=rf"{SHARD} at {far.url} is not the one sealed: its sha256"
    ):
        fetch(far.open(), content())
    assert far.kept() == set()


@pytest.mark.parametrize("kind", ["ranges", "plain"])
def test_lasting_damage_costs_two_downloads(make: Callable[[str], Far], kind: str) -> None:
    far = make(kind)
    far.put(SHARD, content())
    far.server.faults = ["flip"] * 100
    with pytest.raises(CheckError, match="sha256 differs"):
        fetch(far.open(), content())
    assert far.server.tars() == ["bytes=0-"] * 2


def test_a_file_shorter_than_sealed_is_refused(far: Far) -> None:
    data = content()
    far.put(SHARD, data[:-1])
    with pytest.raises(CheckError, match=f"Cannot fetch {SHARD}"):
        fetch(far.open(), data)
    assert far.kept() == set()


def test_a_cached_file_of_another_size_than_asked_for_is_refused(web: Far) -> None:
    data, source = content(), web.open()
    web.put(SHARD, data)
    fetch(source, data)
    with pytest.raises(CheckError, match="sha256 differs"):
        source.fetch(SHARD, size=len(data) - 1, sha256=sha256(data))


def test_a_small_file_is_read_and_not_kept(far: Far) -> None:
    far.put("manifests/gan10.json", b"{}" * 600)
    source = far.open()
    assert source.read("manifests/gan10.json", max_bytes=1200) == b"{}" * 600
    with pytest.raises(CheckError, match=r"gan10.json .* more than the 1,199 bytes"):
        source.read("manifests/gan10.json", max_bytes=1199)
    assert not far.folder.exists()


# --- what is there -------------------------------------------------------------------------------


def test_what_is_missing_is_named_before_anything_is_fetched(far: Far) -> None:
    sizes = {f"shards/real/train-{i:05}-of-00020.tar": 10 + i for i in range(20)}
    for url, size in sizes.items():
        far.put(url, bytes(size))
    far.put("top.tar", bytes(7))
    source = far.open()
    source.missing(sizes | {"top.tar": 7})
    with pytest.raises(CheckError, match=f"Cannot fetch {SHARD} .*: it is not there"):
        source.missing(sizes | {SHARD: 10, OTHER: 10})
    far.put("shards/real/late.tar", bytes(9))
    source.missing(sizes | {"shards/real/late.tar": 9})
    with pytest.raises(CheckError, match=r"Cannot fetch top.tar .* 7 bytes, the manifest says 8"):
        source.missing(sizes | {"top.tar": 8, SHARD: 10})


@pytest.mark.parametrize("kind", ["s3", "hf"])
def test_a_store_lists_a_folder_in_one_request(make: Callable[[str], Far], kind: str) -> None:
    far = make(kind)
    sizes = {f"shards/real/train-{i:05}-of-00020.tar": 10 for i in range(20)}
    for url, size in sizes.items():
        far.put(url, bytes(size))
    far.open().missing(sizes)
    assert len(far.server.requests) <= 3


def test_a_bucket_that_refuses_to_list_is_asked_for_each_file(make: Callable[[str], Far]) -> None:
    far = make("s3")
    far.put(SHARD, bytes(10))
    far.server.refused = "list-type"
    far.open().missing({SHARD: 10})
    with pytest.raises(CheckError, match=f"{SHARD} .* it has 10 bytes, the manifest says 11"):
        far.open().missing({SHARD: 11})


# --- the cache -----------------------------------------------------------------------------------


def put_many(far: Far, count: int) -> list[tuple[str, bytes]]:
    files = [(f"shards/{i}.tar", content(1000, seed=i)) for i in range(count)]
    for url, data in files:
        far.put(url, data)
    return files


def test_the_least_recently_used_file_makes_room(web: Far) -> None:
    source = web.open(max_bytes=3500)
    (a, dataa), (b, datab), (c, datac), (d, datad) = put_many(web, 4)
    for url, data in ((a, dataa), (b, datab), (c, datac), (a, dataa)):
        last = fetch(source, data, url)
    with last.with_name(sha256(datab)).open("rb") as reader:
        fetch(source, datad, d)
        assert web.kept() == {sha256(data) for data in (dataa, datac, datad)}
        assert reader.read() == datab  # whoever has it open keeps it
    assert fetch(source, datab, b).read_bytes() == datab
    assert web.kept() == {sha256(data) for data in (dataa, datab, datad)}


def test_foreign_files_are_neither_counted_nor_removed(web: Far) -> None:
    web.folder.mkdir()
    (web.folder / "thesis.tex").write_bytes(bytes(5000))
    for url, data in put_many(web, 2):
        fetch(web.open(max_bytes=1000), data, url)
    assert web.kept() == {"thesis.tex", sha256(content(1000, seed=1))}


def test_a_file_larger_than_the_cache_is_refused(web: Far) -> None:
    with pytest.raises(
        UsageError, match=f"{SHARD} has 4,500 bytes .*4,499 bytes: raise --cache-size"
    ):
        fetch(web.open(max_bytes=4499), content())
    assert web.server.requests == []


def test_a_cache_that_cannot_be_written_is_named(web: Far) -> None:
    web.put(SHARD, content())
    web.folder.write_text("no folder")
    with pytest.raises(UsageError, match=f"Cannot keep {SHARD} in the cache {web.folder}: "):
        fetch(web.open(), content())


@pytest.mark.parametrize("damaged", [content()[:-1], content()[:-1] + b"?", b""])
def test_a_damaged_cached_file_is_replaced(web: Far, damaged: bytes) -> None:
    web.put(SHARD, content())
    source = web.open()
    path = fetch(source, content())
    for user in (web.open(), source):  # of another process, and of the one that knew it whole
        path.write_bytes(damaged)
        assert fetch(user, content()).read_bytes() == content()
    assert len(web.server.tars()) == 3


def test_a_damaged_file_makes_room_for_itself(web: Far) -> None:
    source, files = web.open(max_bytes=2000), put_many(web, 2)
    paths = [fetch(source, data, url) for url, data in files]
    paths[1].write_bytes(bytes(1000))
    fetch(source, files[1][1], files[1][0])
    assert web.kept() == {path.name for path in paths}


def test_a_file_is_hashed_again_only_when_it_changed(
    web: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.put(SHARD, content())
    path = fetch(web.open(), content())
    hashed: list[Path] = []
    real = fetching.sha256_file
    monkeypatch.setattr(fetching, "sha256_file", lambda path: hashed.append(path) or real(path))
    source = web.open()
    for _ in range(3):
        fetch(source, content())
    assert hashed == [path]
    path.touch()
    fetch(source, content())
    assert hashed == [path] * 2


def test_threads_fetch_a_file_once(web: Far) -> None:
    web.put(SHARD, content())
    web.server.faults = ["stall"]
    with ThreadPoolExecutor(4) as pool:
        sources = [web.open(), web.open()] * 2
        paths = [pool.submit(fetch, source, content()) for source in sources]
        assert web.server.stalled.wait(10)
        time.sleep(0.2)
        web.server.go_on.set()
        assert {path.result().read_bytes() for path in paths} == {content()}
    assert web.server.tars() == ["bytes=0-"]


def test_a_file_that_another_finishes_as_we_lock_it_stays(
    web: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, real = content(), fetching.lock
    web.put(SHARD, data)

    def late(file: BinaryIO) -> bool:
        monkeypatch.setattr(fetching, "lock", real)
        part = web.folder / f"{sha256(data)}.part"
        part.write_bytes(data)
        part.rename(part.with_suffix(""))
        return real(file)

    monkeypatch.setattr(fetching, "lock", late)
    assert fetch(web.open(), data).read_bytes() == data
    assert web.server.requests == []


def test_threads_fetch_different_files_at_once(web: Far) -> None:
    files, source = put_many(web, 8), web.open()
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda file: fetch(source, file[1], file[0]), files))
    assert [path.read_bytes() for path in paths] == [data for _, data in files]


def test_a_download_under_way_holds_its_space(web: Far) -> None:
    (a, dataa), (b, datab) = put_many(web, 2)
    web.server.faults = ["stall"]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fetch, web.open(max_bytes=1500), dataa, a)
        assert web.server.stalled.wait(10)
        second = pool.submit(fetch, web.open(max_bytes=1500), datab, b)
        time.sleep(0.2)
        assert not second.done()
        assert sum((web.folder / name).stat().st_size for name in web.kept()) == 1000
        web.server.go_on.set()
        assert first.result().name == sha256(dataa)
        assert second.result().read_bytes() == datab
    assert web.kept() == {sha256(datab)}


PROCESS = """
import sys
from pathlib import Path
from builder.store import Cache, Remote
url, folder, name, size, sha256 = sys.argv[1:]
source = Remote(url, Cache(folder=Path(folder), max_bytes=1 << 20))
print(source.fetch(name, size=int(size), sha256=sha256).read_bytes().hex())
source.close()
"""


def process(far: Far, data: bytes) -> subprocess.Popen[str]:
    words = [far.url, str(far.folder), SHARD, str(len(data)), sha256(data)]
    command = [sys.executable, "-c", PROCESS, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_fetch_a_file_once(web: Far) -> None:
    data = content()
    web.put(SHARD, data)
    web.server.faults = ["stall"]
    running = [process(web, data), process(web, data)]
    assert web.server.stalled.wait(20)
    time.sleep(0.5)
    web.server.go_on.set()
    assert {child.communicate(timeout=20)[0].strip() for child in running} == {data.hex()}
    assert web.server.tars() == ["bytes=0-"]


def test_a_killed_download_is_neither_trusted_nor_left(web: Far) -> None:
    data, other = content(), content(seed=1)
    web.put(SHARD, data)
    web.put(OTHER, other)
    left = f"{sha256(data)}.part"
    for after in (lambda: fetch(web.open(), other, OTHER), lambda: fetch(web.open(), data)):
        web.server.stalled.clear()
        web.server.faults = ["stall"]
        with process(web, data) as child:
            assert web.server.stalled.wait(20)
            child.send_signal(signal.SIGKILL)
        assert left in web.kept()
        after()
        assert left not in web.kept()
    assert (web.folder / sha256(data)).read_bytes() == data


# --- ahead of use --------------------------------------------------------------------------------


def entries(files: list[tuple[str, bytes]]) -> list[ShardEntry]:
    return [
        ShardEntry(
            url=url,
            nsamples=1,
            filesize=len(data),
            sha256=sha256(data),
            split="train",
            origin="real",
        )
        for url, data in files
    ]


def test_what_was_prefetched_is_there(web: Far) -> None:
    files, source = put_many(web, 5), web.open()
    source.prefetch(entries(files))
    wanted, end = {sha256(data) for _, data in files}, time.monotonic() + 10
    while web.kept() != wanted and time.monotonic() < end if web.folder.exists() else True:
        time.sleep(0.01)
    assert len(web.server.tars()) == 5
    for url, data in files:
        assert fetch(source, data, url).read_bytes() == data
    assert len(web.server.tars()) == 5


def test_a_failure_ahead_of_use_shows_in_use(web: Far) -> None:
    source = web.open()
    source.prefetch(entries([(SHARD, content())]))
    with pytest.raises(CheckError, match=f"{SHARD} .* not there"):
        fetch(source, content())


def test_close_does_not_wait_for_the_next_attempt(
    web: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FIRST_DELAY", 60)
    source = web.open()
    web.server.faults = ["503"]
    source.prefetch(entries(put_many(web, 3)))
    end = time.monotonic() + 10
    while web.server.faults and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 5
    with pytest.raises(CheckError, match="was ended"):
        fetch(source, content())


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "simplecache::s3://bucket/data",
        "s3://bucket/data::http://host",
        "pipe:cat /etc/passwd",
        "pipe://cat",
        "ftp://host/data",
        "github://org:repo@main/",
        "S3://bucket",
        "s3://",
        "shards",
        "",
    ],
)
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read through .* s3, gs, hf, https, http"):
        Remote(url, Cache(folder=tmp_path, max_bytes=1))


@pytest.mark.parametrize("text", ["s3://b/x", "file:///x", "simplecache::x", "nonsense://x"])
def test_urls_are_told_from_paths(text: str) -> None:
    assert is_url(text)
    assert not is_url(text.replace(":", "/"))


@pytest.mark.parametrize(
    "url", ["../x.tar", "/x.tar", "a/../x.tar", "http://h/x.tar", "x.tar?y", ""]
)
def test_only_plain_relative_paths_are_asked_for(web: Far, url: str) -> None:
    source = web.open()
    with pytest.raises(CheckError, match="refused"):
        fetch(source, content(), url)
    with pytest.raises(CheckError, match="refused"):
        source.read(url, max_bytes=10)
    with pytest.raises(CheckError, match="refused"):
        source.missing({url: 10})
    assert web.server.requests == []


@pytest.mark.parametrize("digest", ["", "../../x", "A" * 64, "0" * 63, "0" * 64 + ".part"])
def test_only_a_sha256_names_a_cached_file(web: Far, digest: str) -> None:
    with pytest.raises(CheckError, match=f"{SHARD} has no valid sha256"):
        web.open().fetch(SHARD, size=10, sha256=digest)


def test_credentials_reach_the_server_and_no_message(web: Far) -> None:
    data, port = content(), web.server.server_port
    web.put(SHARD, data)
    web.put(OTHER, data)
    url = f"http://me:geheim@127.0.0.1:{port}/data/?token=geheim"
    source = web.open(url=url)
    fetch(source, data)
    _, path, head = web.server.requests[0]
    assert path == f"/data/{SHARD}?token=geheim"
    assert head["Authorization"].startswith("Basic ")
    for faults in (["404"], ["403"], ["400"], ["503"] * 5, ["reset"] * 5, []):
        web.server.faults = faults
        with pytest.raises(CheckError, match=f"127.0.0.1:{port}/data") as caught:
            fetch(source, content(seed=1), OTHER)
        assert "geheim" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(CheckError) as caught:
        source.missing({OTHER: 1})
    assert "geheim" not in str(caught.value)


def test_keys_in_the_url_of_a_bucket_are_not_shown(make: Callable[[str], Far]) -> None:
    far = make("s3")
    source = far.open(url=far.url.replace("s3://", "s3://AKIA:ge/heim@"))
    with pytest.raises(CheckError, match=f"Cannot fetch {SHARD} from {far.url}: ") as caught:
        fetch(source, content())
    assert "heim" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_a_password_that_breaks_the_url_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no valid host and port") as caught:
        Remote("https://me:ge/heim@host/data", Cache(folder=tmp_path, max_bytes=1))
    assert "heim" not in str(caught.value)
    assert caught.value.__context__ is None


# --- what it needs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("s3://bucket/data", "s3fs", r"'cxr-rebalance\[remote\]'"),
        ("hf://datasets/some/set", "huggingface_hub", r"'cxr-rebalance\[remote\]'"),
        ("https://host/data", "fsspec.implementations.http", r"'cxr-rebalance\[remote\]'"),
        ("gs://bucket/data", "gcsfs", "gcsfs"),
    ],
)
def test_a_missing_library_is_named(
    url: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    scheme = url.partition(":")[0]
    loaded = sys.modules["fsspec.registry"].__dict__["_registry"]
    for name in {scheme, scheme.rstrip("s")} & set(loaded):
        monkeypatch.delitem(loaded, name)
    with pytest.raises(UsageError, match=f"pip install {extra}"):
        Remote(url, Cache(folder=tmp_path, max_bytes=1))


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys, trainer.remote; print({'fsspec', 'torch', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_cache_lies_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/quick")
    assert default_cache_folder() == Path("/var/quick/cxr-rebalance/shards")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache_folder() == Path("/home/me/.cache/cxr-rebalance/shards")


# --- whole runs ----------------------------------------------------------------------------------


def upload(sealed: Any, far: Far) -> None:
    for path in sealed.root.rglob("*"):
        if path.is_file():
            far.put(str(path.relative_to(sealed.root)), path.read_bytes())


def run(shards: object, out: Path, folder: Path) -> Result:
    few = ["--init=random", "--epochs=2", "--batch=16", "--workers=2", "--device=cpu"]
    cache = (f"--cache-dir={folder}", "--cache-size=2MB")
    return CliRunner().invoke(main, ["fit", f"--shards={shards}", f"--out={out}", *few, *cache])


def test_a_run_from_s3_with_faults_is_the_run_from_disk(
    make: Callable[[str], Far], sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "BLOCK", 1 << 14)
    far = make("s3")
    upload(sealed, far)
    far.server.faults = ["503", "reset", "", "cut", "500", "flip", "", "429", "reset", "503"]
    result = run(f"{far.url}/manifests/tiny.json", tmp_path / "far", far.folder)
    assert result.exit_code == 0, result.output
    assert far.server.faults == []
    names = {shard.sha256 for shard in sealed.manifest.shardlist}
    assert far.kept() == names
    assert run(sealed.path, tmp_path / "near", far.folder).exit_code == 0
    for name in ("history.csv", "receipts.csv", "best.safetensors", "predictions.parquet"):
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes()


def test_a_shard_that_is_another_one_at_its_source_stops_the_run_with_its_name(
    make: Callable[[str], Far], sealed: Any, tmp_path: Path
) -> None:
    far = make("s3")
    upload(sealed, far)
    shard = next(s for s in sealed.manifest.shardlist if s.split == "train")
    far.put(shard.url, bytes(shard.filesize))
    result = run(f"{far.url}/manifests/tiny.json", tmp_path / "run", far.folder)
    assert result.exit_code == 1
    assert shard.url in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_shard_that_is_missing_is_found_before_the_first_step(
    make: Callable[[str], Far], sealed: Any, tmp_path: Path
) -> None:
    far = make("s3")
    last = sealed.manifest.shardlist[-1].url
    (sealed.root / last).unlink()
    upload(sealed, far)
    result = run(f"{far.url}/manifests/tiny.json", tmp_path / "run", far.folder)
    assert result.exit_code == 1
    assert last in result.stderr
    assert far.server.tars() == []
