"""CheXpert's table as it ships, against the counts of the paper, and the folder of its images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import GROUPS, UsageError
from builder.labels import CHEXPERT, LabelTable, read_labels


def test_the_shipped_table_has_the_papers_rows_and_shares() -> None:
    table = read_labels("chexpert")
    assert len(table) == 223_414
    assert table.pathologies == CHEXPERT
    assert table.rows["patient"].nunique() == 64_540
    share = dict(zip(table.pathologies, (table.labels == 1).mean(axis=0).round(4), strict=True))
    assert (share["Lung Lesion"], share["Pleural Other"], share["Fracture"]) == (
        0.0478,
        0.0276,
        0.0433,
    )
    assert [name for name, value in share.items() if value < 0.05] == [
        "Lung Lesion",
        "Pleural Other",
        "Fracture",
    ]


@pytest.mark.parametrize("folder", ["CheXpert-v1.0-small", "CheXpert-v1.0", "."])
def test_the_folder_is_found_by_either_name_or_as_the_root(tmp_path: Path, folder: str) -> None:
    base = tmp_path / folder
    (base / "train").mkdir(parents=True)
    table = read_labels("chexpert", root=tmp_path)
    assert table.root is not None
    assert table.root.samefile(base)
    assert table.rows["file"].iloc[0] == "train/patient00001/study1/view1_frontal.jpg"


def test_a_root_without_its_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No CheXpert images under .*CheXpert-v1\.0-small"):
        read_labels("chexpert", root=tmp_path)


def test_view_sex_and_age_bands() -> None:
    rows = read_labels("chexpert").rows
    assert rows["view"].value_counts().to_dict() == {
        "ap": 161_590,
        "lateral": 32_387,
        "pa": 29_420,
        "frontal": 17,
    }
    assert rows["sex"].value_counts().to_dict() == {"male": 132_636, "female": 90_777, "": 1}
    assert set(rows["age"]) == {*GROUPS["age"], ""}
    assert (rows["age"] == "").sum() == 3


def test_a_table_may_lack_sex_and_age(
    write_csv: Callable[[str], Path], groups: Callable[[LabelTable], list[list[str]]]
) -> None:
    head = f"Path,Frontal/Lateral,{','.join(CHEXPERT)}\n"
    path = write_csv(f"{head}patient1/a.jpg,Frontal{',1' * 14}\n")
    assert groups(read_labels("chexpert", labels=path)) == [["frontal", "", ""]]
