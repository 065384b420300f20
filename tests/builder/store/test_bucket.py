"""What is sent to a bucket is created, proved and never written over; a store in memory answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import CheckError, UsageError, sha256_bytes
from builder.store import OutOfReach, bucket, sending
from builder.store.bucket import BucketTarget
from builder.store.sending import Outgoing, made


class Files:
    """The calls of fsspec that are made, on objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {"bucket/other.txt": b"x", "bucket/set/": b""}
        self.failures: list[Exception] = []
        self.arrives = True
        self.lie: Callable[[bytes], bytes] = bytes

    def invalidate_cache(self) -> None: ...

    def key(self, url: str) -> str:
        return url.removeprefix("s3://").rstrip("/")

    def find(self, url: str) -> list[str]:
        return [path for path in self.objects if path.startswith(self.key(url))]

    def ls(self, url: str, **_: object) -> list[dict[str, object]]:
        folder = self.key(url)
        names = [p for p in self.objects if p.startswith(f"{folder}/")]
        if not names:
            raise FileNotFoundError(url)
        files = [p for p in names if "/" not in p.removeprefix(f"{folder}/")]
        return [{"name": p, "size": len(self.objects[p]), "type": "file"} for p in files]

    def info(self, url: str) -> dict[str, int]:
        if self.key(url) not in self.objects:
            raise FileNotFoundError(url)
        return {"size": len(self.objects[self.key(url)])}

    def cat_file(self, url: str, start: int, end: int) -> bytes:
        return self.lie(self.objects[self.key(url)][start:end])

    def pipe_file(self, url: str, data: bytes, mode: str) -> None:
        assert mode == "create"
        if self.key(url) in self.objects:
            raise FileExistsError(url)
        if self.arrives or not self.failures:
            self.objects[self.key(url)] = data
        if self.failures:
            raise self.failures.pop()

    def put_file(self, source: str, url: str, mode: str, chunksize: int) -> None:
        assert chunksize == bucket.PART
        self.pipe_file(url, Path(source).read_bytes(), mode)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files()
    monkeypatch.setattr(bucket, "file_system", lambda _: files)
    monkeypatch.setattr(sending, "FIRST_DELAY", 0.001)
    return files


@pytest.fixture
def target(files: Files) -> BucketTarget:
    assert files.objects
    return BucketTarget("s3://bucket/set/")


@pytest.fixture
def shard(tmp_path: Path) -> Outgoing:
    path = tmp_path / "a.tar"
    path.write_bytes(b"a shard")
    digest = sha256_bytes(b"a shard")
    return Outgoing(path="shards/x/a.tar", size=7, sha256=digest, source=path)


def test_files_arrive_in_their_order_and_once(
    files: Files, target: BucketTarget, shard: Outgoing
) -> None:
    told: list[int] = []
    assert target.put([shard, made("shards/x/a.sha256", b"sums")], told.append)
    assert [*files.objects][2:] == ["bucket/set/shards/x/a.tar", "bucket/set/shards/x/a.sha256"]
    assert sum(told) == 11
    assert not target.put([shard], told.append)
    assert target.names() == {"shards/x/a.tar", "shards/x/a.sha256"}
    assert target.sizes("shards/x") == {"a.tar": 7, "a.sha256": 4}
    assert target.sizes("shards/y") == {}


def test_small_files_are_read_and_large_ones_refused(target: BucketTarget) -> None:
    target.put([made("recipe.json", b"{}")], lambda _: None)
    assert target.read("recipe.json", 10) == b"{}"
    assert target.read("other.json", 10) is None
    with pytest.raises(CheckError, match=r"recipe\.json has 2 bytes: at most 1 fit"):
        target.read("recipe.json", 1)


@pytest.mark.parametrize("arrives", [False, True])
def test_what_may_pass_is_asked_again(
    files: Files, target: BucketTarget, shard: Outgoing, arrives: bool
) -> None:
    files.failures, files.arrives = [ConnectionError(), TimeoutError()], arrives
    assert target.put([shard], lambda _: None)
    assert files.objects["bucket/set/shards/x/a.tar"] == b"a shard"


def test_a_right_that_is_missing_is_said_with_the_rights_that_it_takes(
    files: Files, target: BucketTarget, shard: Outgoing
) -> None:
    files.failures, files.arrives = [PermissionError("secret")], False
    with pytest.raises(CheckError, match="with the rights to list, read and create there") as said:
        target.put([shard], lambda _: None)
    assert "secret" not in str(said.value)


def test_a_network_that_stays_down_is_said(
    files: Files, target: BucketTarget, shard: Outgoing
) -> None:
    files.failures, files.arrives = [ConnectionError()] * 9, False
    with pytest.raises(OutOfReach, match="7 attempts failed, the last one with ConnectionError"):
        target.put([shard], lambda _: None)


def test_another_file_in_its_place_stays(
    files: Files, target: BucketTarget, shard: Outgoing
) -> None:
    files.objects["bucket/set/shards/x/a.tar"] = b"another"
    with pytest.raises(UsageError, match=r"holds another shards/x/a\.tar than the one to be sent"):
        target.put([shard], lambda _: None)
    assert files.objects["bucket/set/shards/x/a.tar"] == b"another"


def test_bytes_that_come_back_otherwise_are_noticed(
    files: Files, target: BucketTarget, shard: Outgoing
) -> None:
    files.lie = bytes.upper
    with pytest.raises(CheckError, match=r"does not give shards/x/a\.tar back as it was sent"):
        target.put([shard], lambda _: None)


def test_who_is_stopped_sends_nothing_more(
    files: Files, target: BucketTarget, shard: Outgoing
) -> None:
    def stop(_: int) -> None:
        raise InterruptedError

    files.failures, files.arrives = [ConnectionError()] * 9, False
    with pytest.raises(InterruptedError):
        target.put([shard], stop)
    assert len(files.failures) == 9


def test_a_bucket_must_be_there(files: Files, target: BucketTarget) -> None:
    target.prepare()
    files.objects.clear()
    with pytest.raises(UsageError, match="There is no bucket bucket: check the URL, or make"):
        target.prepare()


def test_an_account_that_sees_its_own_folder_alone_is_enough(
    files: Files, target: BucketTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ls(url: str, **_: object) -> list[object]:
        raise FileNotFoundError if "set" in url else PermissionError

    monkeypatch.setattr(files, "ls", ls)
    target.prepare()


def test_a_file_that_changed_is_not_sent(
    files: Files, target: BucketTarget, shard: Outgoing
) -> None:
    assert shard.source is not None
    shard.source.write_bytes(b"changed")
    with pytest.raises(CheckError, match="changed before it was sent"):
        target.put([shard], lambda _: None)
    assert len(files.objects) == 2
