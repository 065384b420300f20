"""A release that comes from a bucket or a web server, which fail, lie and die."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from builder.contract import CheckError, sha256_file
from builder.progress import progress
from builder.share import pull as pulling
from builder.share.announced import Trust
from builder.share.bucket import send_to_bucket
from builder.share.check import check_release
from builder.share.pull import Pulled, pull
from builder.share.receiving import giver_of
from builder.share.release import Release
from builder.store import Cache, OutOfReach
from builder.store import files as store_files
from builder.store import remote as fetching
from builder.store.files import file_system

pytestmark = pytest.mark.usefixtures("quick")

IsWhole = Callable[[Path, Path], bool]

TAR = "data/train-00000-of-00001.tar"


def fetch(source: str, out: Path) -> Pulled:
    return pull(source, out, Trust(), progress=progress)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The folder of the cache that xtrain uses, too."""
    return tmp_path / "cache" / "cxr-rebalance" / "shards"


# --- a bucket ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def place(
    endpoint: str, composed: Release, monkeypatch: pytest.MonkeyPatch, bucket_name: str
) -> str:
    """A folder of a bucket with the release in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
    file_system("s3").mkdir(bucket_name)
    url = f"s3://{bucket_name}/set"
    send_to_bucket(composed, url, signature=None, progress=progress)
    return url


def test_it_comes_from_a_bucket_through_the_cache(
    place: str, home: Path, shared_once: Path, is_whole: IsWhole, kept: Path
) -> None:
    fetch(place, home)
    assert is_whole(home, shared_once)
    cached = kept / sha256_file(home / TAR)
    assert cached.samefile(home / TAR)
    assert cached.samefile(home / "shards/gan100/train-00000-of-00001.tar")


def test_a_file_can_be_read_by_those_who_can_read_its_folder(place: str, home: Path) -> None:
    home.parent.mkdir(parents=True)
    fetch(place, home)
    assert (home / TAR).stat().st_mode & 0o777 == home.stat().st_mode & 0o666


def faulty(monkeypatch: pytest.MonkeyPatch, faults: list[BaseException | None]) -> None:
    """Each of the next reads fails so."""
    real = store_files.StoreFile.read

    def read(self: Any, start: int, stop: int) -> bytes:
        if fault := faults.pop(0) if faults else None:
            raise fault
        return real(self, start, stop)

    monkeypatch.setattr(store_files.StoreFile, "read", read)


def test_a_network_that_fails_is_asked_again(
    place: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(monkeypatch, [ConnectionError(), None, OSError("500"), TimeoutError(), None] * 3)
    fetch(place, home)
    assert list(check_release(home)) == []


def test_a_network_that_stays_down_is_said_and_the_rerun_goes_on(
    place: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pulling, "THREADS", 1)
        faulty(patch, [*[None] * 12, *[ConnectionError("http://secret")] * 100])
        with pytest.raises(OutOfReach, match="9 attempts failed, the last one with Connection"):
            fetch(place, home)
    assert not home.exists()
    inner = home.parent / ".set.partial" / "release"
    assert (inner / TAR).is_file()
    fetch(place, home)
    assert list(check_release(home)) == []


@pytest.mark.parametrize("path", [TAR, "LICENSE.md", "real.parquet"])
def test_an_object_that_is_missing_or_another_is_named(place: str, home: Path, path: str) -> None:
    files = file_system("s3")
    data = files.cat_file(f"{place}/{path}")
    files.pipe_file(f"{place}/{path}", data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckError, match=path):
        fetch(place, home)
    files.rm(f"{place}/{path}")
    with pytest.raises(CheckError, match=f"Cannot fetch {path} .* it is not there"):
        fetch(place, home.with_name("other"))
    assert not list(home.parent.glob("[!.]*"))


def test_a_place_without_a_release_is_one_sentence(place: str, home: Path) -> None:
    with pytest.raises(CheckError, match=r"Cannot fetch SHA256SUMS from s3://\S+x: it is not the"):
        fetch(f"{place}x", home)


def test_another_disk_than_the_caches_gets_no_second_copy(
    place: str, home: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(place: Any, _: Cache) -> Cache:
        return Cache(folder=place.work / "cache", max_bytes=1 << 40)

    monkeypatch.setattr(pulling, "_cache_near", own)
    fetch(place, home)
    assert list(check_release(home)) == []
    assert not kept.exists()
    assert [path.name for path in home.parent.iterdir()] == ["set"]


def test_a_cache_of_its_own_holds_nothing_twice(
    place: str, shared_once: Path, tmp_path: Path
) -> None:
    own, spare = (Cache(folder=tmp_path / name, max_bytes=1 << 40) for name in ("own", "spare"))
    size, digest = (shared_once / TAR).stat().st_size, sha256_file(shared_once / TAR)
    with closing(giver_of(place, own, spare)) as giver:
        giver.take(TAR, size, digest, tmp_path / "a.tar", lambda _: None)
    assert sha256_file(tmp_path / "a.tar") == digest
    assert [path.name for path in own.folder.iterdir()] == [".lock"]


def test_what_the_cache_has_is_not_fetched_again(
    place: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(place, home)
    file_system("s3").rm(f"{place}/{TAR}")
    monkeypatch.setattr(fetching.Remote, "check_present", lambda *_: None)
    fetch(place, home.with_name("second"))
    monkeypatch.setattr(
        pulling, "_cache_near", lambda *_: Cache(folder=tmp_path / "near", max_bytes=1 << 40)
    )
    fetch(place, home.with_name("third"))
    with monkeypatch.context() as patch:
        patch.setattr("os.link", partial(_refuse, OSError()))
        fetch(place, home.with_name("fourth"))
    for name in ("second", "third", "fourth"):
        assert list(check_release(home.with_name(name))) == []


def _refuse(error: Exception, *_: object) -> None:
    raise error


# --- a web server --------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    """A folder; a shard stalls in the middle while `gate` is closed."""

    gate = threading.Event()

    def log_message(self, *_: object) -> None: ...

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.path.endswith(".tar") and not self.gate.is_set():
            outputfile.write(source.read(12_000))
            self.gate.wait(30)
        try:
            super().copyfile(source, outputfile)
        except OSError:
            self.close_connection = True  # the client was killed


@pytest.fixture
def web(shared_once: Path) -> Iterator[str]:
    Quiet.gate.set()
    handler = partial(Quiet, directory=str(shared_once))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    Quiet.gate.set()
    server.shutdown()
    server.server_close()


def test_it_comes_from_a_plain_web_server(
    web: str, home: Path, shared_once: Path, is_whole: IsWhole
) -> None:
    fetch(web, home)
    assert is_whole(home, shared_once)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_pull_that_stalls_can_be_ended_shows_nothing_and_is_resumed(
    web: str, home: Path, shared_once: Path, is_whole: IsWhole, kept: Path, how: signal.Signals
) -> None:
    Quiet.gate.clear()
    command = [Path(sys.executable).with_name("xbuild"), "pull", web, "--out", home]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    inner = home.parent / ".set.partial" / "release"
    deadline = time.monotonic() + 60
    while not ((inner / "README.md").exists() and list(kept.glob("*.part"))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    said = process.communicate(timeout=15)[1]  # two seconds on a machine that does nothing else
    if how is signal.SIGINT:
        assert said.splitlines()[-1] == "Interrupted: run the same command to resume."
        assert process.returncode == 130
    assert not home.exists()
    Quiet.gate.set()
    fetch(web, home)
    assert is_whole(home, shared_once)
    assert [path.name for path in home.parent.iterdir()] == ["set"]
    assert not list(kept.glob("*.part"))
