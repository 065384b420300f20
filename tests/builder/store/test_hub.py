"""Files that are added to a repository, some in each commit, by an API that is told what to do."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from builder.contract import CheckError, UsageError
from builder.store import OutOfReach, sending
from builder.store.hub import HubTarget, git_hash
from builder.store.sending import Outgoing, made

PLACE = "hf://datasets/chest/set"


class Api:
    """The calls that are made, on a repository in memory; tars are kept apart."""

    def __init__(self) -> None:
        self.commits: list[dict[str, bytes]] = [{}]
        self.private: bool | None = None
        self.before: Callable[[], object] = lambda: None
        self.failures: list[Exception] = []

    def create_repo(self, *, private: bool, exist_ok: bool, **_: object) -> None:
        assert exist_ok
        self.private = private

    def repo_info(self, **_: object) -> SimpleNamespace:
        return SimpleNamespace(sha=str(len(self.commits) - 1))

    def list_repo_tree(self, *, revision: str, **_: object) -> list[SimpleNamespace]:
        return [self.entry(*each) for each in self.commits[int(revision)].items()]

    def entry(self, path: str, data: bytes) -> SimpleNamespace:
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        digest = SimpleNamespace(sha256=hashlib.sha256(data).hexdigest())
        lfs = digest if path.endswith(".tar") else None
        return SimpleNamespace(path=path, size=len(data), blob_id=blob, lfs=lfs)

    def preupload_lfs_files(self, **_: object) -> None:
        if self.failures:
            raise self.failures.pop()

    def create_commit(self, *, operations: Any, parent_commit: str, **_: object) -> None:
        self.before()
        if parent_commit != str(len(self.commits) - 1):
            reply = httpx.Response(412, request=httpx.Request("POST", "http://hub"))
            raise HfHubHTTPError("stale", response=reply)
        new = {each.path_in_repo: content(each.path_or_fileobj) for each in operations}
        self.commits.append({**self.commits[-1], **new})

    def hf_hub_download(self, *, filename: str, revision: str, local_dir: str, **_: object) -> str:
        path = Path(local_dir) / "file"
        path.write_bytes(self.commits[int(revision)][filename])
        return str(path)


def content(given: str | bytes) -> bytes:
    return given if isinstance(given, bytes) else Path(given).read_bytes()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda **_: api)
    monkeypatch.setattr(sending, "FIRST_DELAY", 0.001)
    return api


@pytest.fixture
def shard(tmp_path: Path) -> list[Outgoing]:
    """A tar and its note."""
    path = tmp_path / "a.tar"
    path.write_bytes(b"a shard")
    digest = hashlib.sha256(b"a shard").hexdigest()
    tar = Outgoing(path="shards/x/a.tar", size=7, sha256=digest, source=path)
    return [tar, made("shards/x/a.sha256", b"sums")]


def put(files: list[Outgoing]) -> bool:
    return HubTarget(PLACE).put(files, lambda _: None)


def test_a_shard_and_its_notes_come_in_one_commit_and_once(api: Api, shard: list[Outgoing]) -> None:
    assert put(shard)
    assert api.commits == [{}, {"shards/x/a.tar": b"a shard", "shards/x/a.sha256": b"sums"}]
    assert not put(shard)
    assert len(api.commits) == 2


def test_what_is_built_is_for_nobody_else_to_see(api: Api) -> None:
    HubTarget(PLACE).prepare()
    assert api.private is True


def test_files_are_listed_and_read_as_they_were_at_first(api: Api, shard: list[Outgoing]) -> None:
    put(shard)
    target = HubTarget(PLACE)
    assert target.sizes("shards/x") == {"a.tar": 7, "a.sha256": 4}
    assert target.sizes("shards") == {}
    assert target.read("shards/x/a.sha256", 10) == b"sums"
    assert target.read("shards/x/b.sha256", 10) is None
    assert target.size("shards/x/a.tar") == 7
    with pytest.raises(CheckError, match="has 4 bytes: at most 3 fit"):
        target.read("shards/x/a.sha256", 3)
    target.put([made("b", b"b")], lambda _: None)
    assert target.size("b") == 1
    assert len(api.commits) == 3


def test_another_commit_in_between_is_kept(api: Api, shard: list[Outgoing]) -> None:
    def meanwhile() -> None:
        api.before = lambda: None
        api.commits.append({**api.commits[-1], "other": b"other"})

    api.before = meanwhile
    assert put(shard)
    assert {*api.commits[-1]} == {"other", "shards/x/a.tar", "shards/x/a.sha256"}


def test_who_is_always_overtaken_gives_up(api: Api, shard: list[Outgoing]) -> None:
    api.before = lambda: api.commits.append(dict(api.commits[-1]))
    with pytest.raises(OutOfReach, match="others changed it in each of 7 attempts"):
        put(shard)


def test_another_file_in_its_place_stays(api: Api, shard: list[Outgoing]) -> None:
    api.commits.append({"shards/x/a.tar": b"another"})
    with pytest.raises(UsageError, match=r"holds another shards/x/a\.tar than the one to be sent"):
        put(shard)
    assert len(api.commits) == 2


def test_what_may_pass_is_asked_again(api: Api, shard: list[Outgoing]) -> None:
    api.failures = [ConnectionError(), TimeoutError()]
    assert put(shard)


def test_a_small_file_has_the_name_that_git_gives_it() -> None:
    assert git_hash(made("a", b"hello\n")) == "ce013625030ba8dba906f756967f9e9ca394464a"
