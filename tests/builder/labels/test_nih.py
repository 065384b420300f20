"""NIH ChestX-ray14's table: findings in words, images matched by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
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


def test_stray_files_and_rows_without_an_image_stop_nothing(tmp_path: Path) -> None:
    for name in ("00000001_000.png", "a/figure.png", "b/figure.png", "._00000001_000.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    table = read_labels("nih", root=tmp_path)
    assert table.rows["file"].tolist() == ["00000001_000.png"]
    assert table.notes == (
        f"1 of 112,120 rows have an image under {tmp_path}; the others are left out.",
    )


def test_a_folder_without_its_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"112,?120 images of .* lies under"):
        read_labels("nih", root=tmp_path)


def test_an_unknown_finding_is_named(write_csv: Callable[[str], Path]) -> None:
    path = write_csv(f"{HEAD}\na.png,Mass|Gout,1,PA\n")
    where = r"line 2, column 'Finding Labels': 'Gout' is not an NIH finding"
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


# --- NIH's own files: images, the table, and the two lists of the official split ------------------

FULL = (
    f"{HEAD.replace(',View', ',Patient Age,Patient Gender,View')},OriginalImage[Width,Height],"
    "OriginalImagePixelSpacing[x,y],"
)


@pytest.fixture
def release(tmp_path: Path, radiograph: Callable[[Path], Path]) -> Path:
    """NIH's folder as it was first published: every line of the table ends with a comma."""
    random = np.random.default_rng(5)
    lines, lists = [FULL], {"train_val_list.txt": "", "test_list.txt": ""}
    for patient in range(1, 61):
        for visit in range(1 + patient % 2):
            name = f"{patient:08d}_{visit:03d}.png"
            radiograph(tmp_path / f"images_{patient % 3:03d}/images/{name}")
            words = "|".join(sorted(random.choice(NIH[:14], patient % 3, replace=False)))
            sex, view = ["M", "F"][patient % 2], ["PA", "AP"][visit]
            spelt = patient if visit else f"{patient:08d}"  # both are in use, and 1.0 by mistake
            spelt = f"{patient}.0" if patient % 5 == 0 else spelt
            found = words.replace("No_", "No ") or "No Finding"
            lines.append(
                f"{name},{found},{spelt},{patient:03d}Y,{sex},{view},2682,2749,0.143,0.143,"
            )
            lists["test_list.txt" if patient > 45 else "train_val_list.txt"] += f"{name}\n"
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n")
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def read_by_pandas(release: Path) -> pd.DataFrame:
    table = pd.read_csv(release / "Data_Entry_2017.csv", index_col=False, dtype=str)
    words = table["Finding Labels"].str.replace(" ", "_").str.split("|")
    found = {name: [int(name in cell) for cell in words] for name in NIH}
    expected = pd.DataFrame(found, index=table["Image Index"])
    expected["patient"] = table["Patient ID"].astype(float).astype(int).astype(str).to_numpy()
    expected["view"] = table["View Position"].str.lower().to_numpy()
    expected["sex"] = table["Patient Gender"].map({"M": "male", "F": "female"}).to_numpy()
    years = table["Patient Age"].str[:3].astype(int)
    expected["age"] = [GROUPS["age"][min(age // 20, 4)] for age in years]
    return expected


def test_the_official_split_is_sealed_and_val_is_drawn_from_train(
    release: Path,
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> None:
    table = release / "Data_Entry_2017.csv"
    sealed = packed("nih", "--holdout", 0.1, 0, root=release, labels=table, official=True)
    expected = read_by_pandas(release)
    test = expected.index.isin((release / "test_list.txt").read_text().split())
    same(sealed, expected)
    assert set(sealed.index[sealed["split"] == "test"]) == set(expected.index[test])
    parts = sealed.groupby("patient")["split"].nunique()
    assert (parts == 1).all()
    assert (sealed["split"] == "val").sum() > 0


def test_our_split_is_that_of_the_ids_without_zeros(
    release: Path,
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
    by_hash: Callable[[dict[str, str], str], dict[str, str]],
) -> None:
    expected = read_by_pandas(release)
    parts = by_hash(expected["patient"].to_dict(), "0.2")
    sealed = packed("nih", *("--holdout", 0.2, 0.2), root=release / "images_000", labels=release)
    inside = expected[expected["patient"].astype(int) % 3 == 0]
    same(sealed, inside.assign(split=inside.index.map(parts)))


def test_a_list_that_is_missing_or_foreign_is_refused(release: Path) -> None:
    (release / "test_list.txt").write_text("other.png\n")
    with pytest.raises(UsageError, match=r"test_list\.txt names no image of the label table"):
        read_labels("nih", labels=release, official=True)
    (release / "test_list.txt").write_text((release / "train_val_list.txt").read_text())
    with pytest.raises(UsageError, match=r"00000001_000 is in .*list\.txt and in .*list\.txt"):
        read_labels("nih", labels=release, official=True)
    (release / "test_list.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UsageError, match=r"Cannot read .*test_list\.txt: it is no text\."):
        read_labels("nih", labels=release, official=True)
    (release / "test_list.txt").unlink()
    with pytest.raises(UsageError, match=r"needs test_list\.txt \(or \.txt\.gz\): it is not in"):
        read_labels("nih", labels=release, official=True)


def test_kaggles_sample_is_read(write_csv: Callable[[str], Path], groups: Groups) -> None:
    head = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,"
        "OriginalImagePixelSpacing_y"
    )
    cells = "00000013_005.png,Emphysema|Infiltration,005,00000013,060Y,M,AP,3056,2544,0.139,0.139"
    table = read_labels("nih", labels=write_csv(f"{head}\n{cells}\n"))
    assert groups(table) == [["ap", "male", "60-80"]]
    assert table.rows["patient"].tolist() == ["13"]
    found = {name for name, label in zip(NIH, table.labels[0], strict=True) if label}
    assert found == {"Emphysema", "Infiltration"}
