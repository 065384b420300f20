"""The cache: bounded, shared by threads and processes, never trusted unchecked."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from builder.contract import UsageError, sha256_bytes
from builder.store import default_cache_folder
from builder.store import remote as fetching

SHARD = "shards/gan10/train-00000-of-00002.tar"
OTHER = "shards/gan10/train-00001-of-00002.tar"

Content = Callable[..., bytes]


# --- its space -----------------------------------------------------------------------------------


def test_the_least_recently_used_file_makes_room(web: Any) -> None:
    source = web.open(max_bytes=3500)
    (a, dataa), (b, datab), (c, datac), (d, datad) = web.put_many(4)
    for path, data in ((a, dataa), (b, datab), (c, datac), (a, dataa)):
        last = web.fetch(data, path, source)
    with last.with_name(sha256_bytes(datab)).open("rb") as reader:
        web.fetch(datad, d, source)
        assert web.kept() == {sha256_bytes(data) for data in (dataa, datac, datad)}
        assert reader.read() == datab  # whoever has it open keeps it
    assert web.fetch(datab, b, source).read_bytes() == datab
    assert web.kept() == {sha256_bytes(data) for data in (dataa, datab, datad)}


def test_foreign_files_are_neither_counted_nor_removed(web: Any, content: Content) -> None:
    web.folder.mkdir()
    (web.folder / "thesis.tex").write_bytes(bytes(5000))
    for path, data in web.put_many(2):
        web.fetch(data, path, web.open(max_bytes=1000))
    assert web.kept() == {"thesis.tex", sha256_bytes(content(1000, seed=1))}


def test_a_file_larger_than_the_cache_is_refused(web: Any, content: Content) -> None:
    message = rf"{SHARD} has 4,500 bytes .*4,499 bytes: raise --cache-size"
    with pytest.raises(UsageError, match=message):
        web.fetch(content(), source=web.open(max_bytes=4499))
    assert web.server.requests == []


def test_a_cache_that_cannot_be_written_is_named(web: Any, content: Content) -> None:
    web.put(SHARD, content())
    web.folder.write_text("no folder")
    with pytest.raises(UsageError, match=f"Cannot keep {SHARD} in the cache {web.folder}: "):
        web.fetch(content())


def test_a_download_under_way_holds_its_space(web: Any) -> None:
    (a, dataa), (b, datab) = web.put_many(2)
    web.server.faults = ["stall"]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(web.fetch, dataa, a, web.open(max_bytes=1500))
        assert web.server.stalled.wait(10)
        second = pool.submit(web.fetch, datab, b, web.open(max_bytes=1500))
        time.sleep(0.2)
        assert not second.done()
        assert sum((web.folder / name).stat().st_size for name in web.kept()) == 1000
        web.server.go_on.set()
        assert first.result().name == sha256_bytes(dataa)
        assert second.result().read_bytes() == datab
    assert web.kept() == {sha256_bytes(datab)}


def test_it_lies_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/quick")
    assert default_cache_folder() == Path("/var/quick/cxr-rebalance/shards")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache_folder() == Path("/home/me/.cache/cxr-rebalance/shards")


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda _: b""],
    ids=["short", "changed", "empty"],
)
def test_a_damaged_cached_file_is_replaced(
    web: Any, content: Content, damage: Callable[[bytes], bytes]
) -> None:
    web.put(SHARD, content())
    source = web.open()
    path = web.fetch(content(), source=source)
    for user in (web.open(), source):  # of another process, and of the one that knew it whole
        path.write_bytes(damage(content()))
        assert web.fetch(content(), source=user).read_bytes() == content()
    assert len(web.server.tars()) == 3


def test_a_damaged_file_makes_room_for_itself(web: Any) -> None:
    source, many = web.open(max_bytes=2000), web.put_many(2)
    paths = [web.fetch(data, path, source) for path, data in many]
    paths[1].write_bytes(bytes(1000))
    web.fetch(many[1][1], many[1][0], source)
    assert web.kept() == {path.name for path in paths}


def test_a_file_is_hashed_again_only_when_it_changed(
    web: Any, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.put(SHARD, content())
    path = web.fetch(content())
    hashed: list[Path] = []
    real = fetching.sha256_file
    monkeypatch.setattr(fetching, "sha256_file", lambda path: hashed.append(path) or real(path))
    source = web.open()
    for _ in range(3):
        web.fetch(content(), source=source)
    assert hashed == [path]
    path.touch()
    web.fetch(content(), source=source)
    assert hashed == [path] * 2


# --- several at once -----------------------------------------------------------------------------


def test_threads_fetch_a_file_once(web: Any, content: Content) -> None:
    web.put(SHARD, content())
    web.server.faults = ["stall"]
    with ThreadPoolExecutor(4) as pool:
        sources = [web.open(), web.open()] * 2
        paths = [pool.submit(web.fetch, content(), SHARD, source) for source in sources]
        assert web.server.stalled.wait(10)
        time.sleep(0.2)
        web.server.go_on.set()
        assert {path.result().read_bytes() for path in paths} == {content()}
    assert web.server.tars() == ["bytes=0-"]


def test_a_file_that_another_finishes_as_we_lock_it_stays(
    web: Any, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, real = content(), fetching.try_lock
    web.put(SHARD, data)

    def late(file: BinaryIO) -> bool:
        monkeypatch.setattr(fetching, "try_lock", real)
        part = web.folder / f"{sha256_bytes(data)}.part"
        part.write_bytes(data)
        part.rename(part.with_suffix(""))
        return real(file)

    monkeypatch.setattr(fetching, "try_lock", late)
    assert web.fetch(data).read_bytes() == data
    assert web.server.requests == []


def test_threads_fetch_different_files_at_once(web: Any) -> None:
    many, source = web.put_many(8), web.open()
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda file: web.fetch(file[1], file[0], source), many))
    assert [path.read_bytes() for path in paths] == [data for _, data in many]


PROCESS = """
import sys
from pathlib import Path
from builder.store import Cache, Remote
url, folder, name, size, sha256 = sys.argv[1:]
source = Remote(url, Cache(folder=Path(folder), max_bytes=1 << 20))
print(source.fetch(name, size=int(size), sha256=sha256).read_bytes().hex())
source.close()
"""


def process(far: Any, data: bytes) -> subprocess.Popen[str]:
    words = [far.url, str(far.folder), SHARD, str(len(data)), sha256_bytes(data)]
    command = [sys.executable, "-c", PROCESS, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_fetch_a_file_once(web: Any, content: Content) -> None:
    data = content()
    web.put(SHARD, data)
    web.server.faults = ["stall"]
    running = [process(web, data), process(web, data)]
    assert web.server.stalled.wait(20)
    time.sleep(0.5)
    web.server.go_on.set()
    assert {child.communicate(timeout=20)[0].strip() for child in running} == {data.hex()}
    assert web.server.tars() == ["bytes=0-"]


def test_a_killed_download_is_neither_trusted_nor_left(web: Any, content: Content) -> None:
    data, other = content(), content(seed=1)
    web.put(SHARD, data)
    web.put(OTHER, other)
    left = f"{sha256_bytes(data)}.part"
    for after in (lambda: web.fetch(other, OTHER), lambda: web.fetch(data)):
        web.server.stalled.clear()
        web.server.faults = ["stall"]
        with process(web, data) as child:
            assert web.server.stalled.wait(20)
            child.send_signal(signal.SIGKILL)
        assert left in web.kept()
        after()
        assert left not in web.kept()
    assert (web.folder / sha256_bytes(data)).read_bytes() == data
