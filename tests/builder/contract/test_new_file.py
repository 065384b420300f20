"""A new file is complete or absent, follows no link, and only what nobody writes is removed."""

import errno
import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from builder.contract import UsageError
from builder.contract.new_file import (
    NewFile,
    link,
    new_file,
    remove_leftovers,
    write_first,
    write_last,
)

WRITES = """
import sys
from builder.contract.new_file import NewFile
from pathlib import Path
new = NewFile(Path(sys.argv[1]))
new.file.write(b"half")
new.file.flush()
print(new.temporary, flush=True)
sys.stdin.read()
"""


def writing(path: Path) -> tuple["subprocess.Popen[str]", Path]:
    """Another process that is writing `path`, and the name under which it grows."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, path.with_name(process.stdout.readline().strip())


def test_many_writers_of_a_file_leave_one_of_their_files_whole(tmp_path: Path) -> None:
    path, wanted = tmp_path / "below/report.json", [bytes([i]) * 10_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_last(path, data), wanted * 10))
    assert path.read_bytes() in wanted
    assert [*path.parent.iterdir()] == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "report.json"
    write_last(path, b"before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_last(path, b"after")
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]


def test_a_temporary_name_cannot_be_known_and_a_link_there_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, tokens = tmp_path / "outside", iter(["ab" * 8, "cd" * 8])
    outside.write_bytes(b"mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: next(tokens))
    name = f".s.csv.{os.getpid()}-{'ab' * 8}.tmp"
    (tmp_path / name).symlink_to(outside)  # the worst case: somebody guessed it
    with pytest.raises(FileExistsError):
        write_last(tmp_path / "s.csv", b"table")
    write_last(tmp_path / "s.csv", b"table")
    assert outside.read_bytes() == b"mine"
    assert (tmp_path / "s.csv").read_bytes() == b"table"


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    (tmp_path / "s.csv").symlink_to(tmp_path / "outside")
    write_last(tmp_path / "s.csv", b"table")
    assert (tmp_path / "outside").read_bytes() == b"mine"
    assert (tmp_path / "s.csv").read_bytes() == b"table"


def test_a_folder_that_leads_out_of_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/shards").symlink_to(tmp_path / "outside")
    with pytest.raises(UsageError, match=r"leads out of .* by a link"):
        NewFile(tmp_path / "out/shards/a.tar", tmp_path / "out")
    assert not [*(tmp_path / "outside").iterdir()]


def test_links_inside_and_a_root_that_is_a_link_work(tmp_path: Path) -> None:
    (tmp_path / "disk/real").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    (tmp_path / "out/shards").symlink_to("real")
    with new_file(tmp_path / "out/shards/a.tar", tmp_path / "out") as file:
        file.write(b"tar")
    assert (tmp_path / "disk/real/a.tar").read_bytes() == b"tar"


def test_a_folder_that_is_swapped_for_a_link_meanwhile_changes_nothing(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    with new_file(out / "shards/a.tar", out) as file:
        (out / "shards").rename(out / "moved")
        (out / "shards").symlink_to(outside)
        file.write(b"tar")
    assert (out / "moved/a.tar").read_bytes() == b"tar"
    assert not [*outside.iterdir()]


def test_what_another_process_writes_stays_and_what_a_dead_one_left_goes(tmp_path: Path) -> None:
    process, temporary = writing(tmp_path / "a.tar")
    try:
        remove_leftovers(tmp_path)
        assert temporary.exists()
    finally:
        process.kill()
        process.communicate()
    remove_leftovers(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_only_files_that_this_program_names_so_are_removed(tmp_path: Path) -> None:
    left = tmp_path / ".a.tar.123-00ff.tmp"
    own = [tmp_path / name for name in (".notes.tmp", "a.1-0a.tmp", ".a.tar.x-1.tmp")]
    for path in (left, *own):
        path.write_bytes(b"x")
    folder = tmp_path / ".b.1-0a.tmp"
    folder.mkdir()
    (tmp_path / ".c.1-0a.tmp").symlink_to(own[0])
    os.mkfifo(tmp_path / ".d.1-0a.tmp")
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "absent")
    assert not left.exists()
    assert len([*tmp_path.iterdir()]) == 6


def test_a_folder_that_is_a_link_is_not_cleaned(tmp_path: Path) -> None:
    left = tmp_path / "outside/.a.1-0a.tmp"
    left.parent.mkdir()
    left.touch()
    (tmp_path / "link").symlink_to(left.parent)
    remove_leftovers(tmp_path / "link")
    assert left.exists()


def test_without_locks_files_are_written_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    left = tmp_path / ".a.1-0a.tmp"
    left.touch()
    write_last(tmp_path / "a", b"x")
    remove_leftovers(tmp_path)
    assert left.exists()
    assert (tmp_path / "a").read_bytes() == b"x"


def test_of_two_first_writers_one_writes(tmp_path: Path) -> None:
    assert write_first(tmp_path / "a", b"first")
    assert not write_first(tmp_path / "a", b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"first"


def test_without_hard_links_the_first_writer_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert write_first(tmp_path / "a", b"first")
    assert not write_first(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_is_a_second_name(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"shard")
    link(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new").samefile(tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        link(tmp_path / "absent", tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}


def test_a_copy_has_its_name_only_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    def half(old: BinaryIO, new: BinaryIO, _: int) -> None:
        new.write(old.read(2))
        raise KeyboardInterrupt

    (tmp_path / "old").write_bytes(b"shard")
    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr("shutil.copyfileobj", half)
    with pytest.raises(KeyboardInterrupt):
        link(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
