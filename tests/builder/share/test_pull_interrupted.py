"""A pull that is killed, fails in the middle or finds no room."""

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.contract import CheckError, UsageError
from builder.progress import progress
from builder.share import growing
from builder.share import pull as pulling
from builder.share.announced import File, Trust
from builder.share.check import check_release
from builder.share.pull import Pulled, pull

TAR = "data/train-00000-of-00001.tar"

pytestmark = pytest.mark.usefixtures("own_cache")


class Killed(BaseException):
    """A kill in the middle of the work."""


def fetch(source: Path, out: Path | None) -> Pulled:
    return pull(str(source), out, Trust(), progress=progress)


@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_a_kill_shows_nothing_and_the_rerun_keeps_what_is_right(
    shared_once: Path, home: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Path] = []
    real = pulling._fetch_one

    def killed(file: object, inner: Path, *more: object) -> None:
        if len(done) == after:
            raise Killed
        real(file, inner, *more)  # type: ignore[arg-type]
        done.append(inner / file.path)  # type: ignore[attr-defined]

    monkeypatch.setattr(pulling, "THREADS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(pulling, "_fetch_one", killed)
        with pytest.raises(Killed):
            fetch(shared_once, home)
    assert not home.exists()
    times = {path.relative_to(home.parent / ".set.partial/release"): path for path in done}
    before = {name: path.stat().st_mtime_ns for name, path in times.items()}
    fetch(shared_once, home)
    assert {name: (home / name).stat().st_mtime_ns for name in before} == before
    assert [path.name for path in home.parent.iterdir()] == ["set"]


@pytest.mark.parametrize("step", ["first_fault", "_place_shard"])
def test_a_kill_before_the_end_shows_nothing(
    shared_once: Path, home: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pulling, step, killed)
        with pytest.raises(Killed):
            fetch(shared_once, home)
    assert not home.exists()
    assert not fetch(shared_once, home).here


def test_what_an_earlier_run_of_another_release_left_does_not_stay(
    shared_once: Path, home: Path
) -> None:
    inner = home.parent / ".set.partial" / "release"
    (inner / "data").mkdir(parents=True)
    (inner / "data" / "old.tar").write_bytes(b"old")
    (inner / TAR).write_bytes(b"damaged")
    fetch(shared_once, home)
    assert not (home / "data" / "old.tar").exists()
    assert list(check_release(home)) == []


def test_a_full_disk_is_said_before_it_is_full(
    shared_once: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(shared_once)._replace(free=1000)
    monkeypatch.setattr(growing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UsageError, match=r"needs 0\.\d+ GB and there are 0\.00 GB free"):
        fetch(shared_once, home)
    assert not home.exists()


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    shared_once: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("builder.share.growing.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            fetch(shared_once, home)
    assert not home.exists()
    left = [path.name for path in home.parent.rglob("*") if path.is_file()]
    assert not [name for name in left if name.endswith((".tar", ".tmp"))]
    assert not fetch(shared_once, home).here


class Stalled:
    """A giver whose shards do not end."""

    shown = "there"

    def __init__(self) -> None:
        self.closed = threading.Event()

    def read(self, path: str, max_bytes: int) -> bytes:
        raise CheckError(f"Cannot read {path} of {max_bytes} bytes.")

    def check_present(self, sizes: Mapping[str, int]) -> None: ...

    def take(self, *_: object) -> None:
        self.closed.wait(10)

    def close(self) -> None:
        self.closed.set()


def test_the_first_failure_ends_the_others(tmp_path: Path) -> None:
    shard = File(path="a.tar", sha256="0" * 64, size=1, shard=True)
    card = File(path="b.md", sha256="0" * 64, size=1, shard=False)
    giver = Stalled()
    with pytest.raises(CheckError, match="Cannot read b"):
        pulling._fetch([shard, card], tmp_path, giver, progress)  # type: ignore[arg-type]
    assert giver.closed.is_set()
