import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import CheckError, UsageError
from builder.contract.lock import hold
from builder.progress import progress
from builder.share import growing, writing
from builder.share.check import check_release
from builder.share.release import Release
from builder.share.writing import write_release
from builder.store.sending import Outgoing

Hashes = Callable[[Path], dict[str, str]]


def write(release: Release, folder: Path) -> bool:
    return write_release(release, folder, key=None, progress=progress)


class Killed(BaseException):
    """A kill in the middle of the work."""


def test_the_folder_is_whole_and_nothing_is_left_beside_it(
    composed: Release, tmp_path: Path, hashes: Hashes
) -> None:
    folder = tmp_path / "new" / "gan100"
    assert write(composed, folder)
    assert hashes(folder) == {file.path: file.sha256 for file in composed.files}
    assert list(folder.parent.iterdir()) == [folder]
    assert list(check_release(folder)) == []


def test_the_same_release_is_not_written_twice(shared_folder: Path, composed: Release) -> None:
    before = (shared_folder / "README.md").stat().st_mtime_ns
    assert not write(composed, shared_folder)
    assert (shared_folder / "README.md").stat().st_mtime_ns == before


def test_an_empty_folder_is_filled(composed: Release, tmp_path: Path) -> None:
    assert write(composed, tmp_path)
    assert list(check_release(tmp_path)) == []


@pytest.mark.parametrize("after", [0, 1, 3, 8])
def test_a_kill_leaves_nothing_visible_and_the_rerun_keeps_what_is_right(
    composed: Release, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch, hashes: Hashes
) -> None:
    folder, done, real = tmp_path / "gan100", [], writing._write

    def killed(file: Outgoing, path: Path) -> None:
        if len(done) == after:
            raise Killed
        real(file, path)
        done.append(path)

    monkeypatch.setattr(writing, "_write", killed)
    with pytest.raises(Killed):
        write(composed, folder)
    assert not folder.exists()
    monkeypatch.setattr(writing, "_write", real)
    times = {path: path.stat().st_mtime_ns for path in done}
    if done:
        done[0].with_name(".half.tmp").write_bytes(b"half")
        done[-1].write_bytes(b"damaged since")
    assert write(composed, folder)
    assert hashes(folder) == {file.path: file.sha256 for file in composed.files}
    inner = tmp_path / ".gan100.partial" / "release"
    for path in done[:-1]:
        assert (folder / path.relative_to(inner)).stat().st_mtime_ns == times[path]


def test_what_is_in_its_place_is_not_touched(composed: Release, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else than this release"):
        write(composed, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UsageError, match="holds something else"):
        write(composed, tmp_path / "notes.txt")


def test_the_current_folder_is_not_replaced(
    composed: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the folder that you are in"):
        write(composed, Path())
    assert not list(tmp_path.iterdir())


def test_a_link_leads_to_the_folder_that_is_filled(composed: Release, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert write(composed, tmp_path / "link")
    assert list(check_release(tmp_path / "real")) == []


def test_a_damaged_release_is_not_called_whole(shared_folder: Path, composed: Release) -> None:
    (shared_folder / "README.md").write_text("changed")
    with pytest.raises(CheckError, match=r"but damaged \(README\.md"):
        write(composed, shared_folder)


def test_a_second_publisher_waits(composed: Release, tmp_path: Path) -> None:
    import multiprocessing

    with hold(tmp_path / ".gan100.partial", wait=None):
        context = multiprocessing.get_context("fork")
        other = context.Process(target=_refused, args=(composed, tmp_path / "gan100"))
        other.start()
        other.join()
    assert other.exitcode == 0
    assert write(composed, tmp_path / "gan100")


def _refused(release: Release, folder: Path) -> None:
    with pytest.raises(UsageError, match="Another xbuild share is writing"):
        write(release, folder)


def test_a_full_disk_is_said_before_it_is_full(
    composed: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(growing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UsageError, match=r"needs 0\.\d+ GB and there are 0\.00 GB free"):
        write(composed, tmp_path / "gan100")
    assert not (tmp_path / "gan100").exists()


def test_a_shard_that_changes_meanwhile_is_not_shared(composed: Release, tmp_path: Path) -> None:
    first = composed.files[0]
    assert first.source is not None
    changed = tmp_path / "changed.tar"
    changed.write_bytes(first.source.read_bytes()[:-1] + b"x")
    forged = replace(composed, files=(replace(first, source=changed), *composed.files[1:]))
    with pytest.raises(CheckError, match="changed while it was copied"):
        write(forged, tmp_path / "gan100")
    assert not (tmp_path / "gan100").exists()
