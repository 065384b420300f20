import os
from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.contract.folder import check_links, image_files, walk


def put(root: Path, name: str, content: bytes = b"x") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def test_images_of_every_kind_are_found_in_the_order_of_their_paths(tmp_path: Path) -> None:
    dicom = bytes(128) + b"DICM"
    names = ["b/2.png", "a.JPEG", "c.tif", "b/1.DCM", "z/y/x.dicom", "q.tiff", "a.jpg"]
    for name in [*names, "notes.txt", "t.csv", "README", "a.png.txt", "b/12"]:
        put(tmp_path, name)
    bare = ["IM0001", "b/1.2.840.10008.5.12"]
    for name in [*bare, "DICOMDIR", "report.txt"]:
        put(tmp_path, name, dicom)
    assert image_files(tmp_path) == sorted([*names, *bare])


def test_what_systems_and_archives_add_is_no_image(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    for name in [
        "._a.png",
        ".hidden.png",
        "__MACOSX/a.png",
        "b/__MACOSX/._a.png",
        ".DS_Store",
        "Thumbs.db",
        ".thumbnails/a.png",
        "thumbnails/a.png",
        "@eaDir/a.jpg",
    ]:
        put(tmp_path, name)
    assert image_files(tmp_path) == ["a.png"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path, "in/a.png")
    (tmp_path / "in/again").symlink_to(tmp_path / "in")
    (tmp_path / "in/away.png").symlink_to(tmp_path / "absent.png")
    put(tmp_path, "elsewhere/b.png")
    (tmp_path / "in/more").symlink_to(tmp_path / "elsewhere")
    assert image_files(tmp_path / "in") == ["a.png", "more/b.png"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_order_in_which_a_disk_lists_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned: bool
) -> None:
    listed = os.scandir
    monkeypatch.setattr("os.scandir", lambda path: sorted(listed(path), key=str, reverse=turned))
    for name in ("in/b/1.png", "in/b/notes.txt", "in/b/Thumbs.db", "away/c/2.png"):
        put(tmp_path, name)
    for name, target in (("a", "in/b"), ("x", "away/c"), ("d/y", "away/c")):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    found = walk(tmp_path / "in")
    assert found.images == ["b/1.png", "x/2.png"]
    assert found.others == ["b/notes.txt"]
    assert found.again == ["a", "d/y"]


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(UsageError, match=r"Cannot read the folder .*: Permission denied\.$"):
        image_files(tmp_path)


def test_links_lead_to_what_lies_inside_or_is_named(tmp_path: Path) -> None:
    root, far = tmp_path / "root", tmp_path / "far"
    put(tmp_path, "root/a.png")
    put(tmp_path, "far/deep/b.png")
    put(tmp_path, "farther/c.png")
    (root / "in.png").symlink_to("a.png")
    (root / "b.png").symlink_to(far / "deep/b.png")
    (root / "deep").symlink_to(far / "deep")
    (tmp_path / "link").symlink_to(root)
    check_links(["a.png", "in.png"], root)
    check_links(["a.png", "in.png"], tmp_path / "link")
    check_links(["b.png", "deep/b.png"], root, [far])
    check_links(["b.png", "deep/b.png"], tmp_path / "link", [far / "deep"])
    for names in (["a.png", "b.png"], ["a.png", "deep/b.png"]):
        message = rf"is a link to {far}/deep.*: allow it by --links-to {far}/deep, or name the real"
        with pytest.raises(UsageError, match=message):
            check_links(names, root)
    (root / "c.png").symlink_to(tmp_path / "farther/c.png")
    with pytest.raises(UsageError, match=r"c\.png is a link"):
        check_links(["c.png"], root, [far])  # a name that begins alike is another folder
