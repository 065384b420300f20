"""NIH ChestX-ray14's table: findings in words, images matched by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import GROUPS, UsageError
from builder.labels import NIH, LabelTable, read_labels

Groups = Callable[[LabelTable], list[list[str]]]
HEAD = "Image Index,Finding Labels,Patient ID,View Position"


def stems(table: LabelTable) -> list[str]:
    return [Path(name).stem for name in table.rows["image"]]


def test_the_rows_whose_image_is_in_the_folder_are_kept(shared: Path) -> None:
    table = read_labels("nih", root=shared / "data" / "nih1k_224")
    assert len(table) == 1158
    assert table.pathologies == NIH
    own = read_labels("table", labels=shared / "data" / "nih1k_224" / "labels.csv")
    order = [own.pathologies.index(name) for name in NIH]
    by_stem = dict(zip(stems(own), own.labels[:, order].tolist(), strict=True))
    assert dict(zip(stems(table), table.labels.tolist(), strict=True)) == by_stem
    assert table.root is not None
    assert (table.root / table.rows["file"].iloc[0]).is_file()


def test_two_copies_of_an_image_are_refused(tmp_path: Path) -> None:
    for name in ("00000001_000.png", "00000001_000.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match="the same image"):
        read_labels("nih", root=tmp_path)


def test_a_folder_without_its_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(b"")
    with pytest.raises(UsageError, match="None of the 1 images"):
        read_labels("nih", root=tmp_path)


def test_an_unknown_finding_is_named(write_csv: Callable[[str], Path]) -> None:
    path = write_csv(f"{HEAD}\na.png,Mass|Gout,1,PA\n")
    where = r"row 1 below the header, column 'Finding Labels': 'Gout' is not an NIH finding"
    with pytest.raises(UsageError, match=where):
        read_labels("nih", labels=path)


def test_view_sex_and_age_bands() -> None:
    rows = read_labels("nih").rows
    assert rows["view"].value_counts().to_dict() == {"pa": 67_310, "ap": 44_810}
    assert rows["sex"].value_counts().to_dict() == {"male": 63_340, "female": 48_780}
    assert set(rows["age"]) == set(GROUPS["age"])


@pytest.mark.parametrize("sex", ["Patient Gender", "Patient Sex"])
def test_the_spellings_of_its_releases(
    write_csv: Callable[[str], Path], groups: Groups, sex: str
) -> None:
    cells = "a,Mass,1,PA,F,414\nb,Mass,1,AP,M,058Y\nc,Mass,2,PA,,0\nd,Mass,2,XX,F,110\n"
    path = write_csv(f"{HEAD},{sex},Patient Age\n{cells}")
    assert groups(read_labels("nih", labels=path)) == [
        ["pa", "female", ""],
        ["ap", "male", "40-60"],
        ["pa", "", "0-20"],
        ["", "female", "80-"],
    ]


def test_a_table_may_lack_sex_and_age(write_csv: Callable[[str], Path], groups: Groups) -> None:
    path = write_csv(f"{HEAD}\na,Mass,1,PA\n")
    assert groups(read_labels("nih", labels=path)) == [["pa", "", ""]]
