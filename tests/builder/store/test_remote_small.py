"""Small files that are read at once, and what is there before anything is fetched."""

from collections.abc import Callable
from typing import Any

import pytest

from builder.contract import CheckError, sha256_bytes
from builder.store.files import StoreFile

SHARD = "shards/gan10/train-00000-of-00002.tar"
OTHER = "shards/gan10/train-00001-of-00002.tar"

Make = Callable[[str], Any]


def test_a_small_file_is_read_and_not_kept(far: Any) -> None:
    far.put("manifests/gan10.json", b"{}" * 600)
    source = far.open()
    assert source.read("manifests/gan10.json", max_bytes=1200) == b"{}" * 600
    with pytest.raises(CheckError, match=r"gan10.json .* more than the 1,199 bytes"):
        source.read("manifests/gan10.json", max_bytes=1199)
    assert not far.folder.exists()


def test_a_small_file_may_have_a_sha256(far: Any) -> None:
    far.put("shards/a.tar", b"sealed")  # the server's faults are those of tars
    source, sealed = far.open(), sha256_bytes(b"sealed")
    far.server.faults = ["flip"]
    assert source.read("shards/a.tar", max_bytes=10, sha256=sealed) == b"sealed"
    far.server.faults = ["flip"] * 2
    with pytest.raises(CheckError, match=rf"The file shards/a\.tar at {far.url} is not the sealed"):
        source.read("shards/a.tar", max_bytes=10, sha256=sealed)


def test_a_file_without_a_byte_is_read(make: Make) -> None:
    far = make("s3")
    far.put("manifests/gan10.json", b"")
    assert far.open().read("manifests/gan10.json", max_bytes=10) == b""


def test_what_is_missing_is_named_before_anything_is_fetched(far: Any) -> None:
    sizes = {f"shards/real/train-{i:05}-of-00020.tar": 10 + i for i in range(20)}
    for path, size in sizes.items():
        far.put(path, bytes(size))
    far.put("top.tar", bytes(7))
    source = far.open()
    source.check_present(sizes | {"top.tar": 7})
    with pytest.raises(CheckError, match=f"Cannot fetch {SHARD} .*: it is not there"):
        source.check_present(sizes | {SHARD: 10, OTHER: 10})
    far.put("shards/real/late.tar", bytes(9))
    source.check_present(sizes | {"shards/real/late.tar": 9})
    message = r"Cannot fetch top.tar .* 7 bytes, but the manifest says 8"
    with pytest.raises(CheckError, match=message):
        source.check_present(sizes | {"top.tar": 8, SHARD: 10})


def test_a_bucket_that_refuses_to_list_is_asked_for_each_file(make: Make) -> None:
    far = make("s3")
    far.put(SHARD, bytes(10))
    far.server.refused = "list-type"
    far.open().check_present({SHARD: 10})
    with pytest.raises(CheckError, match=f"{SHARD} .* it has 10 bytes, but the manifest says 11"):
        far.open().check_present({SHARD: 11})


def test_a_list_that_is_behind_is_not_believed(far: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    far.put(OTHER, bytes(9))
    far.open().check_present({OTHER: 9})
    far.put(SHARD, bytes(10))
    monkeypatch.setattr(StoreFile, "list", lambda _: {})
    if not far.url.startswith("hf:"):
        far.open().check_present({SHARD: 10})
    with pytest.raises(CheckError, match=r"Cannot fetch \S+/train-00003\S+ .*: it is not there"):
        far.open().check_present({OTHER.replace("00001", "00003"): 10})
