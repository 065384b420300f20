"""How a file's bytes are asked for: in blocks from a store, in one reply from a web server."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from builder.contract import CheckError, UsageError, sha256_bytes
from builder.store import Cache, Remote, files
from builder.store import remote as fetching

SHARD = "shards/gan10/train-00000-of-00002.tar"

Make = Callable[[str], Any]
Content = Callable[..., bytes]


@pytest.mark.parametrize("kind", ["s3", "ranges", "plain"])
def test_a_server_that_falls_silent_is_asked_again(
    make: Make, content: Content, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "TIMEOUT", 1)
    far, data = make(kind), content()
    far.put(SHARD, data)
    far.server.faults = ["stall"]
    assert far.fetch(data).read_bytes() == data
    assert far.server.stalled.is_set()


def test_a_proxy_is_used(web: Any, content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.url.removesuffix("/data"))
    web.put(SHARD, content())
    web.fetch(content(), source=web.open(url="http://nowhere.invalid/data"))
    assert web.server.requests[0][1] == f"http://nowhere.invalid/data/{SHARD}"


@pytest.mark.parametrize("kind", ["ranges", "plain"])
def test_a_broken_reply_goes_on_where_it_broke(make: Make, content: Content, kind: str) -> None:
    far, data = make(kind), content()
    far.put(SHARD, data)
    far.server.faults = ["half"]
    far.fetch(data)
    assert far.server.tars() in (["bytes=0-", f"bytes={start}-"] for start in (1000, 2000))


@pytest.mark.parametrize("kind", ["s3", "hf"])
def test_a_store_is_asked_for_one_block_at_a_time(make: Make, content: Content, kind: str) -> None:
    far, data = make(kind), content(2500)
    far.put(SHARD, data)
    far.fetch(data)
    assert far.server.tars() == ["bytes=0-999", "bytes=1000-1999", "bytes=2000-2499"]


def test_a_server_without_ranges_sends_a_file_once(make: Make, content: Content) -> None:
    far, data = make("plain"), content()
    far.put(SHARD, data)
    far.fetch(data)
    assert far.server.tars() == ["bytes=0-"]
    assert far.server.requests[0][2]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("kind", ["s3", "hf"])
def test_a_store_lists_a_folder_in_one_request(make: Make, kind: str) -> None:
    far = make(kind)
    sizes = {f"shards/real/train-{i:05}-of-00020.tar": 10 for i in range(20)}
    for path, size in sizes.items():
        far.put(path, bytes(size))
    far.open().check_present(sizes)
    assert len(far.server.requests) <= 3


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
    with pytest.raises(UsageError, match=f"is not installed: pip install {extra}"):
        Remote(url, Cache(folder=tmp_path, max_bytes=1))


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys, builder.store; print({'fsspec', 'torch', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- what a stranger's server could want ----------------------------------------------------------

SECRETS = {"X-Token": "hunter2", "Cookie": "session=hunter2"}


@pytest.fixture
def with_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers of the user, and headers, cookies and a password of the user's session."""
    session = {"headers": {"X-Session": "hunter2"}, "cookies": {"shared": "hunter2"}}
    options = {"headers": SECRETS, "client_kwargs": session}
    monkeypatch.setitem(fsspec.config.conf, "http", options)


@pytest.mark.usefixtures("with_secrets")
def test_secrets_do_not_follow_a_redirect_to_another_host(web: Any, content: Content) -> None:
    other, data = type(web.server)(), content()
    try:
        other.files[f"/far/{SHARD}"] = data
        web.server.moved[f"/data/{SHARD}"] = f"http://localhost:{other.server_port}/far/{SHARD}"
        root = web.url.replace("://", "://user:hunter2@")
        assert web.fetch(data, source=web.open(url=root)).read_bytes() == data
        assert "hunter2" in str(web.server.requests)
        assert other.requests
        assert "hunter2" not in str(other.requests)
        assert "dXNlcjpodW50ZXIy" not in str(other.requests)  # user:hunter2 in base64
    finally:
        other.shutdown()
        other.server_close()


@pytest.mark.usefixtures("with_secrets")
def test_a_redirect_within_the_host_keeps_them(web: Any, content: Content) -> None:
    data = content()
    web.put("moved.tar", data)
    web.server.moved[f"/data/{SHARD}"] = "/data/moved.tar"
    assert web.fetch(data).read_bytes() == data
    assert [head["X-Token"] for _, _, head in web.server.requests] == ["hunter2"] * 2


def test_redirects_in_a_circle_end(web: Any, content: Content) -> None:
    web.server.moved[f"/data/{SHARD}"] = f"/data/{SHARD}"
    with pytest.raises(CheckError, match="attempts failed"):
        web.fetch(content())


@pytest.mark.parametrize("kind", ["ranges", "hf"])
def test_what_drips_is_given_up_and_what_is_merely_slow_arrives(
    make: Make, content: Content, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 2)
    monkeypatch.setattr(files, "WINDOW", 0.2)
    monkeypatch.setattr(files, "TIMEOUT", 0.2)
    far, data = make(kind), content(100)
    far.put(SHARD, data)
    far.server.drip, began = 0.02, time.monotonic()  # 50 bytes per second: two seconds in all
    monkeypatch.setattr(files, "SLOWEST", 500)
    monkeypatch.setattr(files, "SLOWEST_BLOCK", 500)
    with pytest.raises(CheckError, match=r"2 attempts failed, the last one with \w*TimeoutError"):
        far.fetch(data)
    assert time.monotonic() - began < 5
    monkeypatch.setattr(files, "SLOWEST", 5)
    monkeypatch.setattr(files, "SLOWEST_BLOCK", 5)
    assert far.fetch(data).read_bytes() == data


def test_a_link_in_the_cache_is_not_written_through(web: Any, content: Content) -> None:
    data, outside = content(), web.folder.parent / "outside"
    web.put(SHARD, data)
    outside.write_bytes(b"mine")
    web.folder.mkdir()
    (web.folder / f"{sha256_bytes(data)}.part").symlink_to(outside)
    with pytest.raises(UsageError, match="Cannot keep"):
        web.fetch(data)
    assert outside.read_bytes() == b"mine"
