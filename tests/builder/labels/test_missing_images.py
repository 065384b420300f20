"""When no image is there, the sentence says why."""

import re
from pathlib import Path

import pytest

from builder.labels.images import image_files
from builder.labels.missing_images import why_none

CAUSES: dict[str, tuple[str, str, str]] = {  # the table's name, the file, what is said
    "capitals": ("scans/X018.png", "scans/x018.PNG", "capitals or accents"),
    "accents": ("Mu\u0308ller.png", "M\u00fcller.png", "capitals or accents"),
    "ending": ("scans/x018.png", "scans/x018.jpg", "with another ending; --dataset table"),
    "no ending": ("scans/x018", "scans/x018.dcm", "with another ending"),
    "uid": ("1.2.276.0", "1.2.276.0.dcm", "with another ending"),
    "folder below": ("x018.png", "deep/er/x018.png", r"use --root \S*root/deep/er/?\)"),
    "prefix": (
        "data/scans/x018.png",
        "scans/x018.png",
        r"is there as scans/x018\.png: without data/; .*--match stem",
    ),
    "folder": (
        "a/x018.png",
        "b/x018.png",
        r"is there as b/x018\.png: in another folder; .*--match stem",
    ),
    "folder and capitals": ("a/X018.png", "b/x018.png", "in another folder, and capitals"),
    "nothing": ("x.png", "", "there is no PNG, JPEG, TIFF or DICOM file: check --root"),
    "others": ("x.png", "b/y.png", r"no file there has that name, the first one is b/y\.png"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_the_likely_cause_is_named(tmp_path: Path, case: str) -> None:
    name, file, message = CAUSES[case]
    root = tmp_path / "root"
    root.mkdir()
    if file:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")
    said = why_none([name, "z.png"], image_files(root), root=root, path=tmp_path / "t.csv")
    assert said.startswith(f"None of the 2 images of {tmp_path}/t.csv lies under {root}; the first")
    assert re.search(message, said), said


@pytest.mark.parametrize("where", ["beside the table", "above the root", "with the root's name"])
def test_another_root_is_found(tmp_path: Path, where: str) -> None:
    root, path = tmp_path / "home" / "scans", tmp_path / "tables" / "t.csv"
    for folder in (root, path.parent):
        folder.mkdir(parents=True)
    name = "scans/x.png" if where == "with the root's name" else "x.png"
    right = path.parent if where == "beside the table" else root.parent
    (right / name).write_bytes(b"")
    said = why_none([name], image_files(root), root=root, path=path)
    assert said.endswith(f"use --root {right}).")


def test_images_in_several_folders_are_found_by_their_stems(tmp_path: Path) -> None:
    files = ("images_001/x.png", "images_002/y.png")
    said = why_none(["x.png", "y.png"], files, root=tmp_path, path=tmp_path / "t.csv")
    assert said.endswith(
        "(images of it are in several folders, such as images_001/ and images_002/: "
        "--dataset table finds them by --match stem)."
    )
    one = why_none(["x.png", "z.png"], files, root=tmp_path, path=tmp_path / "t.csv")
    assert one.endswith(f"use --root {tmp_path}/images_001).")


def test_a_name_longer_than_any_disk_takes_is_not_there(tmp_path: Path) -> None:
    root, name = tmp_path / "root", f"{'x' * 300}.png"
    (root / "a").mkdir(parents=True)
    (root / "a" / "y.png").write_bytes(b"")
    said = why_none([name], image_files(root), root=root, path=tmp_path / "t.csv")
    assert "no file there has that name, the first one is a/y.png" in said
    (root / "y.png").write_bytes(b"")
    name = f"{'x' * 300}/a/y.png"
    said = why_none([name], image_files(root), root=root, path=tmp_path / "t.csv")
    assert "is there as a/y.png: without xxx" in said
