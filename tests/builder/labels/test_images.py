"""Names become paths below the root, whatever wrote them, and one file is one image."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.contract import UsageError
from builder.labels.images import (
    check_files,
    check_first_files,
    files_by_path,
    files_by_stem,
    image_files,
    normal_names,
    stem,
)

Write = Callable[[str], Path]


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def texts(*names: str | None) -> pd.Series:
    return pd.Series(names, dtype="str")


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("a.png", "a.png"),
        ("./a.png", "a.png"),
        (r".\ward 0\a.png", "ward 0/a.png"),
        ("a//b/./c.png", "a/b/c.png"),
        (r"a\.\b.png", "a/b.png"),
        ("  a.png ", "a.png"),
        ("..a/b..png", "..a/b..png"),
        ("a:b, ü (1).png", "a:b, ü (1).png"),
        ("1.2.276.0", "1.2.276.0"),
    ],
)
def test_one_path_has_one_name(name: str, normal: str) -> None:
    names = normal_names(texts("plain.png", name, None), Path("t.csv"), "image")
    assert names.fillna("-").tolist() == ["plain.png", normal, "-"]


@pytest.mark.parametrize(
    "name",
    [
        *("/a.png", r"\a.png", r"C:\a.png", "c:/a.png", r"\\server\a.png", "~/a.png"),
        *("https://x.org/a.png", "s3://x/a.png", "../a.png", "a/../b.png", r"a\..\b.png", ".."),
    ],
)
def test_what_is_not_below_the_root_is_refused(write_csv: Write, name: str) -> None:
    path = write_csv(f"image\nx.png\n{name}\n")
    with pytest.raises(UsageError, match=r"line 3, column 'image': .*image folder"):
        normal_names(texts("x.png", name), path, "image")


@pytest.mark.parametrize("name", ["a\n/../../b.png", "a\r.png", "\x1b[2J.png", "a\x00b.png"])
def test_a_name_with_a_line_break_is_refused_in_one_line(write_csv: Write, name: str) -> None:
    path = write_csv("image\nx.png\nodd.png\n")
    with pytest.raises(UsageError, match="has a line break or another control") as refusal:
        normal_names(texts("x.png", name), path, "image")
    assert str(refusal.value).isprintable()


PARTS = st.lists(
    st.sampled_from([".", "", "..", "a", "B", "b.png", "ü", "a b", "...", "c:d"]),
    min_size=1,
    max_size=5,
)


@given(parts=PARTS, signs=st.lists(st.sampled_from("/\\"), min_size=4, max_size=4))
def test_a_normal_name_leads_to_the_same_file_below_the_root(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], signs: list[str]
) -> None:
    name = parts[0] + "".join(f"{sign}{part}" for sign, part in zip(signs, parts[1:], strict=False))
    path = tmp_path_factory.getbasetemp() / "names.csv"
    path.write_text("image\nx\n")
    try:
        (normal,) = normal_names(texts(name), path, "image")
    except UsageError:
        assert ".." in parts or parts[0] == "" or name.startswith(("/", "\\"))
        return
    assert ".." not in parts
    plain = [part for part in parts if part not in ("", ".")]
    if not plain:
        assert pd.isna(normal)
        return
    assert PurePosixPath(normal).parts == tuple(plain)
    assert normal_names(texts(normal), path, "image").tolist() == [normal]


def test_only_images_are_listed_and_each_folder_once(tmp_path: Path) -> None:
    put(tmp_path, "b/x.PNG", "a.jpeg", "c.dcm", "b/1.2.3.dicom", "d.tiff")
    put(tmp_path, "._a.png", ".hidden/a.png", "__MACOSX/a.png", "b/.DS_Store", "Thumbs.db")
    put(tmp_path, "thumbnails/a.png", "@eaDir/a.png", "notes.txt", "b/t.csv")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert image_files(tmp_path) == ["a.jpeg", "b/1.2.3.dicom", "b/x.PNG", "c.dcm", "d.tiff"]


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "far", "x.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "far")
    assert image_files(tmp_path / "root") == ["link/x.png"]


def test_a_stem_keeps_the_dots_of_a_uid() -> None:
    names = ("a/b.png", "b.JPEG", "1.2.276.0", "1.2.276.0.dcm", "x.y.dicom", "c.tar")
    assert [stem(name) for name in names] == ["b", "b", "1.2.276.0", "1.2.276.0", "x.y", "c.tar"]


def test_files_are_found_by_path_or_stem(tmp_path: Path) -> None:
    put(tmp_path, "a/x.png", "deep/er/y.jpg", "stray.png", "other/stray.png")
    names = texts("a/x.png", "z.png", "deep", "\0", None)
    found = files_by_path(names, tmp_path, Path("t.csv")).fillna("").tolist()
    assert found == ["a/x.png", "", "", "", ""]
    names = texts("x", "old/y.png", "z", None)
    found = files_by_stem(names, tmp_path, Path("t.csv")).fillna("").tolist()
    assert found == ["a/x.png", "deep/er/y.jpg", "", ""]


def test_two_files_of_one_stem_are_refused_if_the_table_names_it(tmp_path: Path) -> None:
    put(tmp_path, "x.png", "x.jpg")
    with pytest.raises(UsageError, match=r"the same image, x\.jpg and x\.png: point --root"):
        files_by_stem(texts("x"), tmp_path, Path("t.csv"))


def test_a_folder_whose_name_is_not_utf8_is_refused_if_the_table_names_an_image_of_it(
    tmp_path: Path,
) -> None:
    put(tmp_path, "x.png")
    folder = tmp_path / os.fsdecode(b"M\x81ller")  # a zip archive of old Windows
    folder.mkdir()
    (folder / "y.png").write_bytes(b"")
    assert files_by_stem(texts("x"), tmp_path, Path("t.csv")).tolist() == ["x.png"]
    with pytest.raises(UsageError, match=r"a name that is not UTF-8, M\ufffdller/y\.png: rename"):
        files_by_stem(texts("x", "y"), tmp_path, Path("t.csv"))


@pytest.mark.parametrize("find", [files_by_path, files_by_stem, check_files, check_first_files])
def test_no_image_at_all_is_one_sentence(tmp_path: Path, find: Callable[..., object]) -> None:
    put(tmp_path, "other.png")
    with pytest.raises(UsageError, match=r"None of the 2 images of t\.csv lies under") as caught:
        find(texts("x.png", "y.png"), tmp_path, Path("t.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_is_one_image(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    put(tmp_path, "x.png", "y.png")
    check_files(texts("x.png", "y.png", "missing.png"), tmp_path, Path("t.csv"))
    link(tmp_path / "x.png", tmp_path / "z.png")
    with pytest.raises(UsageError, match=r"t\.csv names one image twice: x\.png and z\.png"):
        check_files(texts("x.png", "y.png", "z.png"), tmp_path, Path("t.csv"))


def test_one_image_in_the_last_row_is_enough_for_a_plan(tmp_path: Path) -> None:
    put(tmp_path, "x.png")
    check_first_files(texts(*["y.png"] * 99, "x.png"), tmp_path, Path("t.csv"))


def test_a_build_refuses_one_file_by_two_names_before_it_writes(
    clinic: Path, xbuild: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (clinic.parent / "059.jpg").unlink()
    os.link(clinic.parent / "058.jpg", clinic.parent / "059.jpg")
    words = ("pack", "--dataset", "table", "--labels", clinic, "--holdout", 0.1, 0.1)
    done = xbuild(*words, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "names one image twice: 058.jpg and 059.jpg are the same file" in done.stderr
    assert not (tmp_path / "out" / "shards").exists()
