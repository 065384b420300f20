"""Folders as datasets come: class folders are labels, train, val and test the official split."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import LabelTable, read_labels
from builder.labels.source import TableOptions

KAGGLE = (
    *("train/NORMAL/IM-0115.jpeg", "train/PNEUMONIA/person1_bacteria_1.jpeg"),
    *("train/PNEUMONIA/person1_bacteria_2.jpeg", "val/NORMAL/NORMAL2-IM-1427.jpeg"),
    *("val/PNEUMONIA/person1946_bacteria_4874.jpeg", "test/NORMAL/IM-0001.jpeg"),
    *("test/PNEUMONIA/person3_virus_1.jpeg", "train/.DS_Store", "train/NORMAL/._IM-0115.jpeg"),
    *("__MACOSX/train/NORMAL/IM-0115.jpeg", "README.txt"),
)

Read = Callable[..., LabelTable]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The table of a folder that holds files of the given names."""

    def make(*names: str, patient_pattern: str | None = None) -> LabelTable:
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        options = TableOptions(patient_pattern=patient_pattern)
        return read_labels("folder", root=tmp_path / "root", options=options)

    return make


def cells(table: LabelTable) -> list[tuple[str, str, list[int]]]:
    """Image, split and labels of each row."""
    rows = table.rows
    return list(zip(rows["image"], rows["split"], table.labels.tolist(), strict=True))


def test_class_folders_are_labels_and_outer_ones_the_split(read: Read) -> None:
    table = read(*KAGGLE)
    assert table.pathologies == ("NORMAL", "PNEUMONIA")
    assert cells(table) == [
        ("test/NORMAL/IM-0001.jpeg", "test", [1, 0]),
        ("test/PNEUMONIA/person3_virus_1.jpeg", "test", [0, 1]),
        ("train/NORMAL/IM-0115.jpeg", "train", [1, 0]),
        ("train/PNEUMONIA/person1_bacteria_1.jpeg", "train", [0, 1]),
        ("train/PNEUMONIA/person1_bacteria_2.jpeg", "train", [0, 1]),
        ("val/NORMAL/NORMAL2-IM-1427.jpeg", "val", [1, 0]),
        ("val/PNEUMONIA/person1946_bacteria_4874.jpeg", "val", [0, 1]),
    ]
    assert table.rows["file"].equals(table.rows["image"])
    assert set(table.rows[["view", "sex", "age"]].to_numpy().ravel()) == {""}
    assert table.notes[0] == "2 labels from folders: NORMAL (3), PNEUMONIA (4)."


def test_each_image_is_a_patient_unless_its_name_says_more(read: Read, tmp_path: Path) -> None:
    table = read(*KAGGLE)
    assert table.rows["patient"].nunique() == 7
    assert "Each of the 7 images counts as a patient of its own: " in table.notes[1]
    assert "--patient-pattern" in table.notes[1]
    assert table.notes[2].startswith("The folders train, val and test are not used: patients are")
    options = TableOptions()
    table = read_labels("folder", root=tmp_path / "root", options=options, official=True)
    assert len(table.notes) == 2
    table = read(*KAGGLE, patient_pattern=r"person(\d+)")
    assert table.rows["patient"].tolist()[3:5] == ["1", "1"]
    assert table.rows["patient"].nunique() == 6
    assert "matches 4 of 7 images; each other one, as test/NORMAL/IM-0001.jpeg," in table.notes[1]


def test_the_listing_stands_for_the_table(read: Read) -> None:
    table = read("a/1.png", "b/2.png")
    assert table.sha256 == hashlib.sha256(b"a/1.png\nb/2.png\n").hexdigest()
    other = read("b/3.png")
    assert other.sha256 != table.sha256
    assert len({table.salt, other.salt, bytes.fromhex(table.sha256)}) == 3


def test_folders_without_a_split(read: Read) -> None:
    table = read(
        "COVID/images/1.png",
        "COVID/masks/1.png",
        "Normal/p1/2.png",
        "Normal/3.png",
        *("4.png", "5.png"),
    )
    assert cells(table) == [
        ("COVID/images/1.png", "", [1, 0]),
        ("Normal/3.png", "", [0, 1]),
        ("Normal/p1/2.png", "", [0, 1]),
    ]
    assert table.notes[1] == "Left out, in folders of masks: COVID/masks/1.png."
    assert table.notes[2] == "Left out, in no class folder: 4.png and 1 more."


def test_an_outer_folder_and_a_split_inside_the_classes(read: Read) -> None:
    table = read(
        "archive/chest/A/Train/1.png", "archive/chest/B/Valid/2.png", "archive/chest/B/Train/3.png"
    )
    assert cells(table) == [
        ("archive/chest/A/Train/1.png", "train", [1, 0]),
        ("archive/chest/B/Train/3.png", "train", [0, 1]),
        ("archive/chest/B/Valid/2.png", "val", [0, 1]),
    ]
    table = read("archive/chest/A/loose.png")
    assert table.notes[1] == "Left out, in no class folder: archive/chest/A/loose.png."


def test_files_of_other_formats_are_counted(read: Read) -> None:
    strange = ("A/1.BMP", "A/2.bmp", "B/3.webp", "B/notes", "C/readme.txt", "figure.gif")
    table = read("A/1.png", "B/2.png", *strange)
    said = "4 files are no PNG, JPEG, TIFF or DICOM, and left out: .bmp (2), .webp (1), none (1)."
    assert table.notes[1] == said
    assert read("A/1.png").sha256 == table.sha256


LOST = {
    "a class": (("A/1.png", "B/2.png", "C/3.webp", "C/4.webp"), r"C holds .* only, \.webp \(2\):"),
    "one of two": (("A/1.png", "B/x/3.bmp"), r"B holds images of other formats only, \.bmp \(1"),
    "a class of a part": (("train/A/1.png", "train/B/2.gif", "val/B/3.png"), "train/B holds"),
    "all": (("A/1.webp", "B/2.webp"), "A holds images of other formats only"),
}


@pytest.mark.parametrize("case", LOST)
def test_a_class_of_other_formats_is_refused(read: Read, case: str) -> None:
    names, message = LOST[case]
    with pytest.raises(UsageError, match=message):
        read(*names)


def test_other_pictures_beside_the_classes_are_no_class(read: Read) -> None:
    assert len(read("data/train/A/1.png", "data/test/B/2.png", "docs/a/b/c.gif")) == 2
    assert len(read("data/docs/a/b.gif")) == 2


def test_a_link_to_a_folder_that_is_read_already_is_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "0").symlink_to("A")
    table = read("A/1.png", "B/2.png")
    assert table.pathologies == ("A", "B")
    assert table.notes[1] == "Left out, as links to folders that are read already: 0."


def test_capitals_do_not_make_a_class(read: Read) -> None:
    table = read("test/NORMAL/1.png", "train/Normal/2.png", "train/Mass/3.png")
    assert table.pathologies == ("Mass", "Normal")
    assert table.labels.tolist() == [[0, 1], [1, 0], [0, 1]]


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "has no class folder with images: expected class folders such as NORMAL/"),
    "no folders": (("1.png", "2.png"), "has no class folder with images"),
    "split without classes": (("train/1.png", "test/2.png"), "has no class folder with images"),
    "one class": (
        ("images/1.png", "images/2.png"),
        "has one class folder only, images/: expected class",
    ),
    "a copy beside the split": (
        ("train/A/1.png", "test/B/2.png", "chest_xray/train/A/1.png"),
        "has a folder test/ and beside it chest_xray/, which is no part of a split",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_other_folders_are_refused_in_one_sentence(read: Read, tmp_path: Path, case: str) -> None:
    names, message = BAD[case]
    (tmp_path / "root").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        read(*names)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_refused(read: Read, tmp_path: Path) -> None:
    read("A/1.png", "B/2.png")
    (tmp_path / "root" / os.fsdecode(b"A/x\xff.png")).write_bytes(b"")
    with pytest.raises(UsageError, match=r"a name that is not UTF-8, A/x\ufffd\.png: rename it"):
        read()


def test_two_spellings_of_a_patient_are_refused(read: Read) -> None:
    with pytest.raises(UsageError, match="image 2, column 'patient': '01' and '1' in image 1"):
        read("A/p1.png", "B/p01.png", patient_pattern=r"p(\d+)")


def test_it_needs_its_root_and_no_table(tmp_path: Path) -> None:
    for labels, root in ((None, None), (tmp_path / "t.csv", tmp_path)):
        with pytest.raises(UsageError, match="name their folder by --root, and no --labels"):
            read_labels("folder", labels=labels, root=root)


def test_a_folder_is_sealed_cell_by_cell(
    tmp_path: Path,
    radiograph: Callable[[Path], Path],
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> None:
    rows = {}
    for part, split in (("train", "train"), ("val", "val"), ("test", "test")):
        for i in range(6):
            for name in ("NORMAL", "PNEUMONIA"):
                image = f"{part}/{name}/{name[0]}{i:02d}.jpeg"
                radiograph(tmp_path / "root" / image)
                rows[image] = (int(name == "NORMAL"), int(name == "PNEUMONIA"), split, image, "")
    expected = pd.DataFrame.from_dict(
        rows, orient="index", columns=["NORMAL", "PNEUMONIA", "split", "patient", "view"]
    )
    same(packed("folder", root=tmp_path / "root", official=True), expected)
