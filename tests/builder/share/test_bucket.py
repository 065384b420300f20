"""A release into a bucket: moto's server, with a network and publishers that fail."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from builder.contract import CheckError, UsageError, sha256_file
from builder.progress import progress
from builder.share.bucket import send_to_bucket
from builder.share.check import SIGNATURE, SUMS, check_release
from builder.share.release import Release
from builder.store import OutOfReach, bucket, sending
from builder.store.bucket import BucketTarget

Files = Any  # fsspec has no types


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch, bucket_name: str) -> Files:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
    monkeypatch.setattr(sending, "FIRST_DELAY", 0.001)
    files = bucket.file_system("s3")
    files.mkdir(f"s3://{bucket_name}")
    return files


@pytest.fixture
def place(s3: Files, bucket_name: str) -> str:
    assert s3
    return f"s3://{bucket_name}/set"


def send(release: Release, url: str, signature: bytes | None = None) -> bool:
    return send_to_bucket(release, url, signature=signature, progress=progress)


def names(s3: Files, place: str) -> set[str]:
    s3.invalidate_cache()
    base = place.removeprefix("s3://")
    return {path.removeprefix(f"{base}/") for path in s3.find(place)}


def test_it_arrives_whole_and_is_not_sent_twice(
    composed: Release, s3: Files, place: str, tmp_path: Path
) -> None:
    assert send(composed, place)
    s3.get(place, str(tmp_path / "got"), recursive=True)
    assert list(check_release(tmp_path / "got")) == []
    assert not send(composed, place)
    assert send(composed, place, signature=b"signed")
    assert s3.cat_file(f"{place}/{SIGNATURE}") == b"signed"


def test_sums_come_last(
    composed: Release, s3: Files, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    real = BucketTarget._create

    def noted(self: Any, file: Any, alive: Any) -> None:
        sent.append(file.path)
        real(self, file, alive)

    monkeypatch.setattr(BucketTarget, "_create", noted)
    send(composed, place, signature=b"signed")
    assert sent[-3:] == ["manifests/gan100.json", SIGNATURE, SUMS]
    assert {*sent} == names(s3, place)


Fault = Callable[[Files], None]


def faulty(
    monkeypatch: pytest.MonkeyPatch, faults: list[BaseException | None], after: bool = False
) -> None:
    """Each of the next uploads fails so; `after`: it arrives, and the answer is lost."""
    real = BucketTarget._create

    def create(self: Any, file: Any, alive: Any) -> None:
        fault = faults.pop(0) if faults else None
        if fault is not None and not after:
            raise fault
        real(self, file, alive)
        if fault is not None:
            raise fault

    monkeypatch.setattr(BucketTarget, "_create", create)


@pytest.mark.parametrize("after", [False, True])
def test_a_network_that_fails_is_asked_again(
    composed: Release, place: str, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    faulty(monkeypatch, [ConnectionError(), OSError("500"), None, TimeoutError()], after=after)
    assert send(composed, place)
    assert not send(composed, place)


def test_a_network_that_stays_down_is_said(
    composed: Release, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(monkeypatch, [ConnectionError("http://secret")] * 100)
    with pytest.raises(OutOfReach, match="7 attempts failed, the last one with ConnectionError"):
        send(composed, place)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_kill_leaves_no_release_and_the_rerun_sends_the_rest(
    composed: Release, s3: Files, place: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    with monkeypatch.context() as patch:
        faulty(patch, [*[None] * after, KeyboardInterrupt()])
        with pytest.raises(KeyboardInterrupt):
            send(composed, place)
    assert len(names(s3, place)) == after
    assert SUMS not in names(s3, place)
    assert send(composed, place)
    assert SUMS in names(s3, place)


def test_another_release_in_its_place_is_not_written_over(
    composed: Release, s3: Files, place: str
) -> None:
    send(composed, place)
    before = s3.cat_file(f"{place}/{SUMS}")
    sums = replace(composed.files[-1], data=b"x", size=1)
    with pytest.raises(UsageError, match="holds another SHA256SUMS than the one to be sent"):
        send(replace(composed, files=(*composed.files[:-1], sums)), place)
    assert s3.cat_file(f"{place}/{SUMS}") == before


@pytest.mark.parametrize("path", ["data/train-00000-of-00009.tar", "notes.txt", SIGNATURE])
def test_nothing_is_sent_to_where_other_files_are(
    composed: Release, s3: Files, place: str, path: str
) -> None:
    """Such as the shards of another dataset whose sending was interrupted."""
    s3.pipe_file(f"{place}/{path}", b"another's")
    with pytest.raises(UsageError, match=f"holds 1 file that is no part of .* such as {path}: "):
        send(composed, place)
    assert names(s3, place) == {path}


def test_other_files_are_counted(composed: Release, s3: Files, place: str) -> None:
    for name in ("a\x1b[31m", "b"):
        s3.pipe_file(f"{place}/data/{name}", b"another's")
    with pytest.raises(UsageError, match=r"2 files that are no part of .* such as data/a") as said:
        send(composed, place)
    assert "\x1b" not in str(said.value)


def test_what_lies_next_to_the_place_and_its_folder_marks_are_no_other_files(
    composed: Release, s3: Files, place: str
) -> None:
    s3.pipe_file(f"{place}2/data/train.tar", b"another's")
    for mark in ("", "data/"):  # as the store's own pages make folders
        bucket_name, _, key = place.removeprefix("s3://").partition("/")
        s3.call_s3("put_object", Bucket=bucket_name, Key=f"{key}/{mark}", Body=b"")
    assert send(composed, place)
    assert not send(composed, place)


def test_a_place_may_be_a_whole_bucket(composed: Release, s3: Files, place: str) -> None:
    whole = place.removesuffix("/set")
    assert send(composed, f"{whole}/")
    s3.pipe_file(f"{whole}/notes.txt", b"another's")
    with pytest.raises(UsageError, match=r"such as notes\.txt"):
        send(composed, whole)


def test_a_second_publisher_at_the_same_time_is_noticed(
    composed: Release, s3: Files, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BucketTarget._create

    def raced(self: Any, file: Any, alive: Any) -> None:
        if file.path == "README.md":
            s3.pipe_file(f"{place}/README.md", b"somebody else's")
        real(self, file, alive)

    monkeypatch.setattr(BucketTarget, "_create", raced)
    with pytest.raises(UsageError, match=r"holds another README\.md"):
        send(composed, place)
    assert s3.cat_file(f"{place}/README.md") == b"somebody else's"
    assert SUMS not in names(s3, place)


def test_a_store_that_gives_other_bytes_back_is_noticed(
    composed: Release, s3: Files, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BucketTarget._read

    def lie(self: Any, path: str, start: int, stop: int) -> bytes:
        data = real(self, path, start, stop)
        return bytes([data[0] ^ 1]) + data[1:] if path.endswith(".tar") else data

    monkeypatch.setattr(BucketTarget, "_read", lie)
    with pytest.raises(CheckError, match=r"does not give data/train-00000-of-00001\.tar back"):
        send(composed, place)
    assert SUMS not in names(s3, place)


def test_a_bucket_that_is_not_there_is_one_sentence(composed: Release, s3: Files) -> None:
    assert s3
    with pytest.raises(CheckError, match="Cannot reach s3://no-such-bucket/x: it is not there"):
        send(composed, "s3://no-such-bucket/x")


def test_a_large_shard_goes_in_parts(
    composed: Release, s3: Files, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bucket, "PART", 5 << 20)
    big = tmp_path / "big.tar"
    big.write_bytes(bytes(range(256)) * (11 << 12))
    size, digest = big.stat().st_size, sha256_file(big)
    first = replace(composed.files[0], source=big, size=size, sha256=digest)
    assert send(replace(composed, files=(first, composed.files[-1])), place)
    assert s3.info(f"{place}/{first.path}")["size"] == size
