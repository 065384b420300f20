"""Whole runs on a dataset in a bucket, behind a network that fails as networks do."""

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from builder.contract.index import max_index_bytes
from builder.store import remote
from trainer.cli import main


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, with faults in those for tars."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream  # port
        self.faults: list[str] = []  # one per request for a tar; "" = none
        self.tars: list[str] = []  # the paths of the requests for tars
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Clients may hang up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        fault = ""
        if ".tar" in self.path:
            self.server.tars.append(self.path)
            fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        status, headers, body = self.forward()
        if fault.isdecimal():
            status, headers, body = int(fault), [], b""
        if fault == "flip":
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command == "GET":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        self.close_connection = self.close_connection or fault == "cut"

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
        upstream.request(self.command, self.path, headers=dict(self.headers))
        reply = upstream.getresponse()
        body = reply.read()
        upstream.close()
        hop = {"connection", "date", "server", "transfer-encoding"}
        hop |= {"content-length"} if self.command == "GET" else set()
        headers = [(k, v) for k, v in reply.getheaders() if k.lower() not in hop]
        return reply.status, headers, body


@dataclass
class Bucket:
    """An empty bucket behind the proxy, and the folder of a cache."""

    name: str
    moto: int  # port of the S3 server itself
    proxy: Proxy
    cache: Path

    @property
    def manifest(self) -> str:
        return f"s3://{self.name}/data/manifests/tiny.json"

    def upload(self, root: Path) -> None:
        """Put every file below the root of a dataset into the bucket."""
        for path in root.rglob("*"):
            if path.is_file():
                self.put(str(path.relative_to(root)), path.read_bytes())

    def put(self, path: str, data: bytes) -> None:
        moto = http.client.HTTPConnection("127.0.0.1", self.moto)
        for url, body in ((f"/{self.name}", b""), (f"/{self.name}/data/{path}", data)):
            moto.request("PUT", url, body, {"Authorization": "AWS testing:testing"})
            reply = moto.getresponse()
            assert (reply.status, reply.read()) == (200, b"")
        moto.close()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket_name: str) -> Iterator[Bucket]:
    moto = ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    port = moto.get_host_and_port()[1]
    proxy = Proxy(port)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    endpoint = {"endpoint_url": f"http://127.0.0.1:{proxy.server_port}"}
    monkeypatch.setitem(fsspec.config.conf, "s3", endpoint)
    monkeypatch.setattr(remote, "BLOCK", 1 << 14)
    monkeypatch.setattr(remote, "FIRST_DELAY", 0.001)
    yield Bucket(bucket_name, port, proxy, tmp_path / "cache")
    proxy.shutdown()
    proxy.server_close()
    moto.stop()


def fit(shards: object, out: Path, cache: Path, *more: str) -> Result:
    words = ["--init=random", "--epochs=2", "--batch=16", "--workers=2", "--device=cpu"]
    words += [f"--cache-dir={cache}", "--cache-size=2MB", *more]
    return CliRunner().invoke(main, ["fit", f"--shards={shards}", f"--out={out}", *words])


def test_a_run_from_s3_with_faults_is_the_run_from_disk(
    bucket: Bucket, sealed: Any, tmp_path: Path
) -> None:
    bucket.upload(sealed.root)
    faults = ["503", "reset", "", "cut", "500", "flip", "", "429", "reset", "503"]
    bucket.proxy.faults = [*faults]
    result = fit(bucket.manifest, tmp_path / "far", bucket.cache)
    assert result.exit_code == 0, result.output
    assert bucket.proxy.faults == []
    names = {shard.sha256 for shard in sealed.manifest.shardlist}
    assert {path.name for path in bucket.cache.iterdir()} - {".lock"} == names
    assert fit(sealed.path, tmp_path / "near", bucket.cache).exit_code == 0
    for name in ("history.csv", "receipts.csv", "best.safetensors", "predictions.parquet"):
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes()


def test_a_shard_that_is_another_one_at_its_source_stops_the_run_with_its_name(
    bucket: Bucket, sealed: Any, tmp_path: Path
) -> None:
    bucket.upload(sealed.root)
    shard = next(s for s in sealed.manifest.shardlist if s.split == "train")
    bucket.put(shard.url, bytes(shard.filesize))
    result = fit(bucket.manifest, tmp_path / "run", bucket.cache)
    assert result.exit_code == 1
    assert shard.url in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_keys_that_expire_are_no_reason_to_leave_images_out(
    bucket: Bucket, sealed: Any, tmp_path: Path
) -> None:
    bucket.upload(sealed.root)
    bucket.proxy.faults = ["", *["403"] * 99]
    result = fit(bucket.manifest, tmp_path / "run", bucket.cache, "--skip-bad")
    assert result.exit_code == 1
    assert "access is refused" in result.stderr


def test_a_shard_that_is_missing_is_found_before_the_first_step(
    bucket: Bucket, sealed: Any, tmp_path: Path
) -> None:
    last = sealed.manifest.shardlist[-1].url
    (sealed.root / last).unlink()
    bucket.upload(sealed.root)
    result = fit(bucket.manifest, tmp_path / "run", bucket.cache)
    assert result.exit_code == 1
    assert last in result.stderr
    assert all(Path(last).name in asked for asked in bucket.proxy.tars)  # no other is asked for


def test_an_index_is_not_read_beyond_what_its_rows_can_take(
    bucket: Bucket, sealed: Any, tmp_path: Path
) -> None:
    bucket.upload(sealed.root)
    index = sealed.manifest.index
    url, most = index.url, max_index_bytes(index.rows, sealed.manifest.pathologies)
    bucket.put(url, bytes(most + 1))
    result = fit(bucket.manifest, tmp_path / "run", bucket.cache)
    assert result.exit_code == 1
    assert f"Cannot fetch {url}" in result.stderr
    assert f"it has more than the {most:,} bytes it may have" in result.stderr
