import hashlib
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from builder.audit.pictures import Sealed
from builder.contract import CheckError, UsageError
from builder.contract.audit import Audit
from builder.gallery.write import KEEP, MARK, Gallery, page_files

Write = Callable[..., Gallery]


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_gallery_is_complete_and_the_same_every_time(
    write: Write, audited: Audit, tmp_path: Path
) -> None:
    written = write(tmp_path / "one", audit=audited)
    found = contents(tmp_path / "one")
    assert {"index.html", "data.js", "samples.js", "README.txt", "sheets/0000.jpg"} <= {*found}
    assert written.page == tmp_path / "one" / "index.html"
    assert written.bytes == sum(p.stat().st_size for p in (tmp_path / "one").rglob("*.*"))
    write(tmp_path / "two", audit=audited)
    assert contents(tmp_path / "two") == found
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_an_older_gallery_is_replaced(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    write(folder, side=16)
    small = contents(folder)
    write(folder)
    assert contents(folder).keys() == small.keys()
    assert contents(folder) != small


def test_what_is_no_gallery_is_not_replaced(write: Write, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "index.html").write_text("<h1>My thesis</h1>")
    with pytest.raises(UsageError, match="is there and is no gallery: name a new folder"):
        write(tmp_path / "thesis")
    (tmp_path / "file").write_text("a")
    with pytest.raises(UsageError, match="is no gallery"):
        write(tmp_path / "file")
    write(tmp_path / "gallery")
    (tmp_path / "gallery" / "notes.txt").write_text("seen")
    with pytest.raises(UsageError, match=r"notes.txt is no part of a gallery"):
        write(tmp_path / "gallery")
    assert (tmp_path / "gallery" / "notes.txt").read_text() == "seen"


def test_the_folder_one_is_in_is_not_replaced(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "gallery")
    monkeypatch.chdir(tmp_path / "gallery")
    with pytest.raises(UsageError, match="the folder that you are in"):
        write(Path())


def test_a_failure_leaves_the_older_gallery_and_nothing_else(
    write: Write, opened: Sealed, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    write(folder)
    before = contents(folder)
    index = replace(opened.index, size=opened.index.size // 2)
    damaged = Sealed(manifest=opened.manifest, root=opened.root, index=index)
    with pytest.raises(CheckError, match=r"shards/.*, sample "):
        write(folder, sealed=damaged)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["gallery"]


def test_what_a_killed_process_left_is_not_in_the_next_one(write: Write, tmp_path: Path) -> None:
    left = tmp_path / ".gallery.unfinished"
    (left / "sheets").mkdir(parents=True)
    (left / "sheets" / "9999.jpg").write_bytes(b"old")
    (left / "old.js").write_bytes(b"old")
    write(tmp_path / "gallery")
    assert not {"sheets/9999.jpg", "old.js", ".lock"} & contents(tmp_path / "gallery").keys()
    assert not left.exists()


def test_an_older_gallery_that_a_killed_process_put_aside_is_replaced_or_kept(
    write: Write, opened: Sealed, tmp_path: Path
) -> None:
    folder, aside = tmp_path / "gallery", tmp_path / ".gallery.old"
    write(folder)
    shutil.copytree(folder, aside)  # killed once the new one was there
    write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["gallery"]
    folder.rename(aside)  # killed just before that
    damaged = Sealed(
        manifest=opened.manifest,
        root=opened.root,
        index=replace(opened.index, size=opened.index.size // 2),
    )
    with pytest.raises(CheckError, match=r"shards/.*, sample "):
        write(folder, sealed=damaged)
    assert (aside / "index.html").is_file()


def test_two_processes_do_not_write_one_gallery(
    write: Write, tmp_path: Path, locked: Callable[[Path], AbstractContextManager[None]]
) -> None:
    with (
        locked(tmp_path / ".gallery.unfinished"),
        pytest.raises(UsageError, match="Another xbuild view is writing"),
    ):
        write(tmp_path / "gallery")


def test_a_gallery_says_whether_it_may_be_passed_on(write: Write, tmp_path: Path) -> None:
    assert write(tmp_path / "all").real
    assert KEEP in (tmp_path / "all" / "README.txt").read_text()
    assert not write(tmp_path / "synthetic", synthetic_only=True).real
    text = (tmp_path / "synthetic" / "README.txt").read_text()
    assert "no image of a patient" in text
    assert KEEP not in text


def test_the_page_asks_for_nothing_but_its_own_files() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in page_files()}
    page = files["index.html"]
    assert MARK in page
    assert "default-src 'none'" in page
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert {*named} == {*files, "data.js"} - {"index.html"}
    assert not re.search(r"https?:|innerHTML|eval\(|fetch\(", "".join(files.values()))
    assert not re.search(r"\son\w+=|style=", page)


@pytest.mark.parametrize("word", ["unfinished", "old"])
def test_a_link_beside_it_is_refused_and_what_it_leads_to_stays(
    write: Write, tmp_path: Path, word: str
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/text").write_text("mine")
    (tmp_path / f".gallery.{word}").symlink_to(tmp_path / "thesis")
    with pytest.raises(UsageError, match="is a link, which is not followed: remove it"):
        write(tmp_path / "gallery")
    assert (tmp_path / "thesis/text").read_text() == "mine"
