"""A stranger's path opens a regular file below the root, or nothing."""

import os
from pathlib import Path

import pytest

from builder.contract import CheckError, resolve, sha256_file
from builder.contract.paths import open_below, open_file


@pytest.mark.parametrize(
    "url", ["../a", "a/../../b", "/etc/passwd", "a\nb", "a\n", "a\r", "\x1b[2J", "~/a", "", "a//b"]
)
def test_a_path_that_is_not_plain_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(CheckError, match="only plain relative paths") as refusal:
        open_below(tmp_path, url)
    assert str(refusal.value).isprintable()


def test_links_inside_are_followed_and_those_that_lead_out_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner/a").write_bytes(b"mine")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "in").symlink_to("inner/a")
    (root / "folder").symlink_to("inner")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(root)
    for top in (root, tmp_path / "link"):
        for url in ("in", "folder/a", "inner/a"):
            with open_below(top, url) as file:
                assert file.read() == b"mine"
        for url in ("out", "up/secret", "loop"):
            with pytest.raises(CheckError, match=r"leads out of|Cannot read"):
                open_below(top, url)


def test_a_file_that_is_swapped_for_a_link_meanwhile_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, secret, opened = tmp_path / "root", tmp_path / "secret", os.open
    (root / "shards").mkdir(parents=True)
    (root / "shards/a.tar").write_bytes(b"mine")
    secret.mkdir()
    (secret / "a.tar").write_bytes(b"secret")

    def late(path: str, *words: object, **more: object) -> int:
        if path == "shards":  # it was looked at, and is opened now
            (root / "shards").rename(root / "moved")
            (root / "shards").symlink_to(secret)
        return opened(path, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(CheckError, match=r"Cannot read shards/a\.tar"):
        open_below(root, "shards/a.tar")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    for ask in (open_file, sha256_file):
        with pytest.raises(CheckError, match="is no file but a folder, pipe or device"):
            ask(tmp_path / "a.tar")
    with pytest.raises(CheckError, match="is no file but a folder, pipe or device"):
        open_below(tmp_path, "a.tar")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert resolve(tmp_path, "a/b.tar") == tmp_path / "a/b.tar"
    with pytest.raises(CheckError, match=r"Cannot read a/b\.tar under .*No such file"):
        open_below(tmp_path, "a/b.tar")
