"""How a file's bytes are asked for: in blocks from a store, in one reply from a web server."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import UsageError
from builder.store import Cache, Remote, files

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
