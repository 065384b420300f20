"""A release onto a server with the API of the Hugging Face Hub, and one that fails."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from builder.contract import CheckError, UsageError
from builder.progress import progress
from builder.share import sending
from builder.share.check import SIGNATURE, SUMS
from builder.share.hub import send_to_hub
from builder.share.release import Release
from builder.store import OutOfReach

pytestmark = pytest.mark.filterwarnings(  # the Hub's library uses what its own one deprecates
    "ignore:Use 'content=:DeprecationWarning"
)

PLACE = "hf://datasets/chest/gan100"
LFS = (".tar", ".parquet")


class Hub(ThreadingHTTPServer):
    """Repositories of datasets; a request that holds one of `faults` gets its status, once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.commits: list[dict[str, bytes]] = []  # the files that readers see after each
        self.large: dict[str, bytes] = {}  # by sha256; no reader sees them
        self.settings: dict[str, object] = {}
        self.faults: list[tuple[str, int]] = []
        self.sent: list[str] = []  # sha256 of each large file that was sent
        self.before_commit: Callable[[], object] = lambda: None
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def files(self) -> dict[str, bytes]:
        """What readers see."""
        return self.commits[-1] if self.commits else {}

    def sha(self) -> str:
        return f"{len(self.commits):040x}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        hub = self.server
        for fault in hub.faults:
            if fault[0] in path:
                hub.faults.remove(fault)
                self.reply(fault[1], {"error": "no"})
                return
        if path.startswith("/lfs/"):
            hub.large[path.removeprefix("/lfs/")] = body
            hub.sent.append(path.removeprefix("/lfs/"))
            self.reply(200, {})
        elif "/resolve/" in path:
            self.resolve(path)
        else:
            data = None if "/commit/" in path else json.loads(body or b"null")
            self.reply(*self.answer(path, data, body))

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def reply(self, status: int, page: object, headers: dict[str, str] | None = None) -> None:
        data = page if isinstance(page, bytes) else json.dumps(page).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def resolve(self, path: str) -> None:
        data = self.server.files.get(path.split("/resolve/")[1].partition("/")[2])
        if data is None:
            self.reply(404, {}, {"X-Error-Code": "EntryNotFound"})
            return
        etag = hashlib.sha256(data).hexdigest()
        self.reply(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": self.server.sha()})

    def answer(self, path: str, data: Any, body: bytes) -> tuple[int, object]:
        hub = self.server
        if path == "/api/repos/create":
            return 200, {"url": f"{hub.url}/datasets/chest/gan100", "name": "chest/gan100"}
        if path.endswith("/settings"):
            hub.settings |= data
            return 200, {}
        if "/preupload/" in path:
            kind = {
                f["path"]: "lfs" if f["path"].endswith(LFS) else "regular" for f in data["files"]
            }
            files = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in kind.items()]
            return 200, {"files": files}
        if path.endswith("/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self.offer(o) for o in data["objects"]]}
        if "/commit/" in path:
            return self.commit([json.loads(line) for line in body.splitlines()])
        if "/tree/" in path:
            return 200, [self.entry(name, content) for name, content in hub.files.items()]
        return 200, {"id": "chest/gan100", "sha": hub.sha(), "siblings": [], "tags": []}

    def offer(self, asked: dict[str, Any]) -> dict[str, object]:
        known = asked["oid"] in self.server.large
        upload = {"upload": {"href": f"{self.server.url}/lfs/{asked['oid']}"}}
        return asked if known else {**asked, "actions": upload}

    def entry(self, name: str, data: bytes) -> dict[str, object]:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        extra = {"lfs": lfs} if name.endswith(LFS) else {}
        return {"type": "file", "path": name, "size": len(data), "oid": oid, **extra}

    def commit(self, lines: list[dict[str, Any]]) -> tuple[int, object]:
        hub = self.server
        hub.before_commit()
        head, *operations = lines
        if head["value"]["parentCommit"] != hub.sha():
            return 412, {"error": "A commit has happened since."}
        files = dict(hub.files)
        for each in operations:
            value = each["value"]
            if each["key"] == "deletedFile":
                del files[value["path"]]
            elif each["key"] == "lfsFile":
                files[value["path"]] = hub.large[value["oid"]]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        hub.commits.append(files)
        url = f"{hub.url}/datasets/chest/gan100/commit/{hub.sha()}"
        return 200, {"success": True, "commitOid": hub.sha(), "commitUrl": url}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    pages = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", pages)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(sending, "FIRST_DELAY", 0.001)
    yield server
    server.shutdown()
    server.server_close()


def send(
    release: Release, place: str = PLACE, signature: bytes | None = None, gated: bool = False
) -> bool:
    return send_to_hub(release, place, signature=signature, gated=gated, progress=progress)


def content(release: Release) -> dict[str, bytes]:
    return {
        file.path: file.source.read_bytes() if file.source else file.data or b""
        for file in release.files
    }


def test_one_commit_shows_all_of_it_and_nothing_is_sent_twice(composed: Release, hub: Hub) -> None:
    assert send(composed)
    assert hub.commits == [content(composed)]
    sent = list(hub.sent)
    assert not send(composed)
    assert len(hub.commits) == 1
    assert hub.sent == sent
    assert hub.settings == {}


def test_a_signature_can_come_later(composed: Release, hub: Hub) -> None:
    send(composed)
    assert send(composed, signature=b"signed")
    assert hub.files == {**content(composed), SIGNATURE: b"signed"}
    assert not send(composed)


def test_a_gated_release_asks_its_readers(composed: Release, hub: Hub) -> None:
    send(composed, gated=True)
    assert hub.settings == {"gated": "auto"}


@pytest.mark.parametrize(
    "where", ["/repos/create", "/preupload/", "/objects/batch", "/lfs/", "/commit/", "/tree/"]
)
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_fails_is_asked_again(
    composed: Release, hub: Hub, where: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # huggingface_hub waits, too
    hub.faults = [(where, status)]
    assert send(composed)
    assert hub.commits == [content(composed)]


def test_a_hub_that_refuses_is_one_sentence(composed: Release, hub: Hub) -> None:
    hub.faults = [("/preupload/", 403)]
    with pytest.raises(CheckError, match=r"to hf://datasets/chest/gan100: access is refused"):
        send(composed)
    assert hub.commits == []


def test_a_hub_that_stays_down_is_said(
    composed: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.faults = [("/commit/", 500)] * 100
    with pytest.raises(OutOfReach, match="7 attempts failed"):
        send(composed)
    assert hub.commits == []


def test_a_kill_shows_nothing_and_the_rerun_sends_no_shard_again(
    composed: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("builder.share.hub._Repository._commit", kill)
        with pytest.raises(KeyboardInterrupt):
            send(composed)
    assert hub.commits == []
    sent = list(hub.sent)
    assert composed.files[0].sha256 in sent
    assert send(composed)
    assert hub.sent == sent
    assert hub.files == content(composed)


def test_somebody_elses_commit_is_not_written_over(composed: Release, hub: Hub) -> None:
    def overtake() -> None:
        hub.before_commit = lambda: None
        hub.commits.append({"README.md": b"somebody else's"})

    hub.before_commit = overtake
    with pytest.raises(UsageError, match="Somebody else changed hf://datasets/chest/gan100"):
        send(composed)
    assert hub.files == {"README.md": b"somebody else's"}


def test_a_commit_whose_answer_was_lost_is_found(composed: Release, hub: Hub) -> None:
    def lost() -> None:
        hub.before_commit = lambda: None
        hub.commits.append(content(composed))

    hub.before_commit = lost
    assert send(composed)
    assert hub.commits == [content(composed)]


def test_an_older_release_is_replaced_by_one_commit(composed: Release, hub: Hub) -> None:
    old = {**content(composed), "data/train-00099-of-00100.tar": b"old"}
    old[SUMS] += f"{'0' * 64}  data/train-00099-of-00100.tar\n".encode()
    hub.commits.append({**old, ".gitattributes": b"*.tar filter=lfs", SIGNATURE: b"old"})
    assert send(composed)
    assert hub.files == {**content(composed), ".gitattributes": b"*.tar filter=lfs"}


def test_files_of_others_are_not_touched(composed: Release, hub: Hub) -> None:
    hub.commits.append({"notes.txt": b"mine"})
    with pytest.raises(UsageError, match=r"1 files that belong to no release, such as notes\.txt"):
        send(composed)
    assert hub.commits == [{"notes.txt": b"mine"}]


def test_a_hub_that_shows_other_bytes_is_noticed(composed: Release, hub: Hub) -> None:
    path = composed.files[0].path

    class Lying(dict[str, bytes]):
        def items(self) -> Any:
            return [(name, b"x" if name == path else data) for name, data in super().items()]

    hub.commits = type("Commits", (list,), {"append": lambda _, f: list.append(_, Lying(f))})()
    with pytest.raises(CheckError, match=f"shows another {path} than was sent"):
        send(composed)


@pytest.mark.parametrize("place", ["hf://models/a/b", "hf://datasets/a", "hf://a/b/c"])
def test_a_url_without_a_dataset_is_refused(composed: Release, place: str) -> None:
    with pytest.raises(UsageError, match="names no dataset on the Hub"):
        send(composed, place)
