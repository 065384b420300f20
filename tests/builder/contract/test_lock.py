import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import UsageError
from builder.contract.lock import LOCK, LOOK, hold, holds


def test_a_lock_is_one_threads_and_free_after_the_block(
    tmp_path: Path, locked: Callable[..., Any]
) -> None:
    folder = tmp_path / "a/run"
    with locked(folder):
        assert not holds(folder)
        with hold(folder, wait=None) as held:
            assert not held
    with hold(folder, wait=None) as held:
        assert held
        assert holds(folder)
    assert not holds(folder)
    assert [path.name for path in folder.iterdir()] == [LOCK]


def test_who_has_it_gets_it_again_and_keeps_it(tmp_path: Path) -> None:
    with hold(tmp_path, wait=None):
        with hold(tmp_path / "." / "", wait=None) as again:
            assert again
        assert holds(tmp_path)


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks")
def test_a_fork_does_not_have_its_parents_lock(tmp_path: Path) -> None:
    with hold(tmp_path, wait=None):
        if (child := os.fork()) == 0:
            os._exit(holds(tmp_path))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_waiting_looks_again_and_may_be_ended(tmp_path: Path, locked: Callable[..., Any]) -> None:
    looks = []

    def wait(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    with locked(tmp_path), pytest.raises(KeyboardInterrupt), hold(tmp_path, wait=wait):
        pass
    assert looks == [LOOK] * 3
    with hold(tmp_path, wait=wait) as held:
        assert held


def test_a_folder_that_was_removed_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, flock, removed = tmp_path / "run", fcntl.flock, []

    def late(file: Any, how: int) -> None:
        if not removed:
            removed.append(shutil.rmtree(folder))
        flock(file, how)

    monkeypatch.setattr("fcntl.flock", late)
    with hold(folder, wait=None) as held:
        assert held
        assert (folder / LOCK).exists()
    assert removed


def test_a_failure_of_the_disk_is_no_want_of_locks(tmp_path: Path, monkeypatch: Any) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(OSError, match="Input/output"), hold(tmp_path, wait=None):
        pass


def test_another_users_lock_can_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: Callable[..., Any]
) -> None:
    ours = os.open

    def theirs(path: Path, flags: int, *more: Any) -> Any:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(errno.EACCES, "Permission denied")
        return ours(path, flags, *more)

    (tmp_path / LOCK).touch()
    monkeypatch.setattr(os, "open", theirs)
    with locked(tmp_path), hold(tmp_path, wait=None) as held:
        assert not held
    with hold(tmp_path, wait=None) as held:
        assert held


def test_a_folder_that_may_not_be_written_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = os.open

    def read_only(path: Path, flags: int, *more: Any) -> Any:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return ours(path, flags, *more)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(PermissionError, match="Permission denied"):
        hold(tmp_path, wait=None).__enter__()


def test_a_link_in_the_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOCK).symlink_to(tmp_path / "outside")
    with pytest.raises(UsageError, match="is a link, which is not followed: remove it"):
        hold(tmp_path, wait=None).__enter__()
    assert not (tmp_path / "outside").exists()


def test_a_lock_that_comes_free_is_taken(tmp_path: Path, locked: Callable[..., Any]) -> None:
    other = locked(tmp_path)
    other.__enter__()
    with hold(tmp_path, wait=lambda _: other.__exit__(None, None, None)) as held:
        assert held


def test_parts_share_a_folder_and_keep_out_who_wants_it_alone(
    tmp_path: Path, locked: Callable[..., Any]
) -> None:
    with locked(tmp_path), hold(tmp_path, wait=None, shared=True) as held:
        assert not held
    with locked(tmp_path, shared=True):
        with hold(tmp_path, wait=None, shared=True) as held:
            assert held
        with hold(tmp_path, wait=None) as held:
            assert not held
