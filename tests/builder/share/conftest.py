"""A small release, made once; each test damages a copy of its own."""

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import pytest

from builder.contract import Index, Manifest, load_index, load_manifest
from builder.engines.make import Work
from builder.progress import progress
from builder.share.lockfile import Own
from builder.share.publisher import Publisher, read_publisher
from builder.share.rebuild import Outcome, rebuild
from builder.share.release import Release, compose
from builder.share.writing import write_release
from builder.store import sending

SAID = {
    "license": "CC-BY-4.0",
    "creator": "Chest Imaging Group",
    "contact": "chest@example.org",
    "intended_use": "Research on class imbalance.",
    "source_terms": "The images of the clinic stay in the clinic.",
    "date": "2026-11-29",
}
LFS = (".tar", ".parquet")


@pytest.fixture(scope="session")
def said() -> dict[str, str | None]:
    """What a publisher must say."""
    return dict(SAID)


@pytest.fixture(scope="session")
def publisher() -> Publisher:
    return read_publisher(dict(SAID), None)


@pytest.fixture(scope="session")
def composed(sealed_once: Path, publisher: Publisher) -> Release:
    """The release of the small clinic's dataset: synthetic shards, a list of the real half."""
    manifest = sealed_once / "manifests" / "gan100.json"
    return compose(manifest, publisher, root=None, tables=[], progress=progress)


@pytest.fixture(scope="session")
def shared_once(tmp_path_factory: pytest.TempPathFactory, composed: Release) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "gan100"
    assert write_release(composed, folder, key=None, progress=progress)
    return folder


@pytest.fixture
def shared_folder(tmp_path: Path, shared_once: Path) -> Path:
    """A release that the test may damage."""
    return Path(shutil.copytree(shared_once, tmp_path / "gan100"))


@pytest.fixture(scope="session")
def manifest(sealed_once: Path) -> Manifest:
    return load_manifest(sealed_once / "manifests" / "gan100.json")


@pytest.fixture(scope="session")
def index(manifest: Manifest, sealed_once: Path) -> Index:
    return load_index(manifest, sealed_once)


@pytest.fixture(scope="session")
def text_of(composed: Release) -> Callable[[str], str]:
    """The text of a file of the release."""

    def of(path: str) -> str:
        data = next(file.data for file in composed.files if file.path == path)
        assert data is not None
        return data.decode()

    return of


@pytest.fixture(scope="session")
def nih_once(
    tmp_path_factory: pytest.TempPathFactory, xbuild: Callable[..., object]
) -> tuple[Manifest, Index, Path]:
    """The synthetic half alone, of NIH's shipped table, with the path of its manifest."""
    out = tmp_path_factory.mktemp("nih")
    xbuild(
        *("synth", "--dataset", "nih", "--real", "none", "--regime", "1", "--name", "nih1"),
        *("--generator", "phantom", "--image-size", 32, "--share", "0.1", "--workers", 1),
        *("--target", "Cardiomegaly", "--out", out),
    )
    path = out / "manifests" / "nih1.json"
    manifest = load_manifest(path)
    return manifest, load_index(manifest, out), path


@pytest.fixture
def sent(tmp_path: Path, sealed_once: Path) -> Path:
    """The clinic's manifest with its index, in the home of somebody else."""
    folder = tmp_path / "home" / "manifests"
    folder.mkdir(parents=True)
    for ending in ("json", "parquet"):
        shutil.copy(sealed_once / "manifests" / f"gan100.{ending}", folder)
    return folder / "gan100.json"


@pytest.fixture
def rebuilt(clinic: Path) -> Callable[..., Outcome]:
    """Rebuild a manifest in its place, with the clinic's table and images."""

    def again(path: Path, *, anyway: bool = False) -> Outcome:
        work = Work(out=path.parents[1], workers=1, skip_bad=False, progress=progress)
        return rebuild(path, Own(labels=clinic), work, anyway=anyway)

    return again


@pytest.fixture(scope="session")
def ssh_keygen() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        pytest.skip("OpenSSH's ssh-keygen is not installed")
    return found


@pytest.fixture(scope="session")
def nih_table() -> Path:
    """NIH's label table, as torchxrayvision ships it."""
    from importlib.util import find_spec

    spec = find_spec("torchxrayvision")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "Data_Entry_2017_v2020.csv.gz"


# --- a server with the API of the Hugging Face Hub ----------------------------------------------


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
        self.lies: dict[str, bytes] = {}  # what is given in place of a file
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
        name = path.split("/resolve/")[1].partition("/")[2]
        data = self.server.lies.get(name, self.server.files.get(name))
        if data is None:
            self.reply(404, {}, {"X-Error-Code": "EntryNotFound"})
            return
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.server.sha()}
        if span := self.headers.get("Range"):
            first, _, last = span.removeprefix("bytes=").partition("-")
            self.reply(206, data[int(first) : int(last) + 1], headers)
        else:
            self.reply(200, data, headers)

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
            below = path.partition("/tree/")[2].partition("/")[2]
            files = [(n, c) for n, c in hub.files.items() if n.startswith(below)]
            return 200, [self.entry(name, content) for name, content in files]
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
    monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": server.url})
    pages = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", pages)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(sending, "FIRST_DELAY", 0.001)
    yield server
    server.shutdown()
    server.server_close()
