import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.contract import GROUPS, UsageError
from builder.labels import CHEXPERT, NIH, LabelTable, canonical, find_pathology, read_labels


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def stems(table: LabelTable) -> list[str]:
    return [Path(name).stem for name in table.rows["image"]]


def test_chexperts_shipped_table_has_the_papers_rows_and_shares() -> None:
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


@pytest.mark.parametrize(("policy", "positives"), [("ones", 6176), ("zeros", 3523), ("mask", 3523)])
def test_uncertain_labels_follow_the_policy(policy: str, positives: int) -> None:
    table = read_labels("chexpert", uncertain=policy)
    column = table.labels[:, CHEXPERT.index("Pleural Other")]
    assert (column == 1).sum() == positives
    assert (column == -1).sum() == (2653 if policy == "mask" else 0)


def test_frontal_views_only() -> None:
    table = read_labels("chexpert", views="frontal")
    assert len(table) == 191_027
    assert set(table.rows["view"]) == {"frontal", "ap", "pa"}


@pytest.mark.parametrize("folder", ["CheXpert-v1.0-small", "CheXpert-v1.0", "."])
def test_chexperts_folder_is_found_by_either_name_or_as_the_root(
    tmp_path: Path, folder: str
) -> None:
    base = tmp_path / folder
    (base / "train").mkdir(parents=True)
    table = read_labels("chexpert", root=tmp_path)
    assert table.root is not None
    assert table.root.samefile(base)
    assert table.rows["file"].iloc[0] == "train/patient00001/study1/view1_frontal.jpg"


def test_chexpert_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No CheXpert images under .*CheXpert-v1\.0-small"):
        read_labels("chexpert", root=tmp_path)


def test_nih_takes_the_rows_whose_image_is_there(shared: Path) -> None:
    table = read_labels("nih", root=shared / "data" / "nih1k_224")
    assert len(table) == 1158
    assert table.pathologies == NIH
    own = read_labels("table", labels=shared / "data" / "nih1k_224" / "labels.csv")
    order = [own.pathologies.index(name) for name in NIH]
    by_stem = dict(zip(stems(own), own.labels[:, order].tolist(), strict=True))
    assert dict(zip(stems(table), table.labels.tolist(), strict=True)) == by_stem
    assert table.root is not None
    assert (table.root / table.rows["file"].iloc[0]).is_file()


def test_nih_refuses_two_copies_of_an_image(tmp_path: Path) -> None:
    for name in ("00000001_000.png", "00000001_000.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match="the same image"):
        read_labels("nih", root=tmp_path)


def test_nih_refuses_a_folder_without_its_images(tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(b"")
    with pytest.raises(UsageError, match="None of the 1 images"):
        read_labels("nih", root=tmp_path)


def test_nih_names_an_unknown_finding(tmp_path: Path) -> None:
    table = write(
        tmp_path / "t.csv",
        "Image Index,Finding Labels,Patient ID,View Position\na.png,Mass|Gout,1,PA\n",
    )
    with pytest.raises(
        UsageError, match=r"row 1 below the header, column 'Finding Labels': 'Gout'"
    ):
        read_labels("nih", labels=table)


def groups(table: LabelTable) -> list[list[str]]:
    return table.rows[["view", "sex", "age"]].to_numpy().tolist()


def test_chexperts_groups() -> None:
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


def test_nihs_groups() -> None:
    rows = read_labels("nih").rows
    assert rows["view"].value_counts().to_dict() == {"pa": 67_310, "ap": 44_810}
    assert rows["sex"].value_counts().to_dict() == {"male": 63_340, "female": 48_780}
    assert set(rows["age"]) == set(GROUPS["age"])


@pytest.mark.parametrize("sex", ["Patient Gender", "Patient Sex"])
def test_the_spellings_of_nihs_releases(tmp_path: Path, sex: str) -> None:
    head = f"Image Index,Finding Labels,Patient ID,View Position,{sex},Patient Age\n"
    cells = "a,Mass,1,PA,F,414\nb,Mass,1,AP,M,058Y\nc,Mass,2,PA,,0\nd,Mass,2,XX,F,110\n"
    assert groups(read_labels("nih", labels=write(tmp_path / "t.csv", head + cells))) == [
        ["pa", "female", ""],
        ["ap", "male", "40-60"],
        ["pa", "", "0-20"],
        ["", "female", "80-"],
    ]


def test_published_tables_may_lack_sex_and_age(tmp_path: Path) -> None:
    head = "Image Index,Finding Labels,Patient ID,View Position\n"
    nih = write(tmp_path / "n.csv", head + "a,Mass,1,PA\n")
    assert groups(read_labels("nih", labels=nih)) == [["pa", "", ""]]
    chexpert = write(
        tmp_path / "c.csv",
        f"Path,Frontal/Lateral,{','.join(CHEXPERT)}\npatient1/a.jpg,Frontal{',1' * 14}\n",
    )
    assert groups(read_labels("chexpert", labels=chexpert)) == [["frontal", "", ""]]


def test_any_tables_groups(tmp_path: Path) -> None:
    ages = ("0", "19.9", "20", "39", "40", "60", "79", "80", "110", "")
    sexes = ("F", "m", "female", " Male ", "", "f", "M", "FEMALE", "male", "")
    views = ("PA", "ap", "Frontal", "LL", "lat", "L", "lateral", "", "pa", "AP")
    cells = enumerate(zip(views, sexes, ages, strict=True))
    lines = (f"{i},{i},{v},{s},{a},0" for i, (v, s, a) in cells)
    path = write(tmp_path / "t.csv", "image,patient,view,sex,age,Mass\n" + "\n".join(lines))
    table = read_labels("table", labels=path)
    assert table.pathologies == ("Mass",)
    assert [age for *_, age in groups(table)] == [
        *("0-20", "0-20", "20-40", "20-40", "40-60", "60-80", "60-80", "80-", "80-", ""),
    ]
    assert [sex for _, sex, _ in groups(table)] == [
        *("female", "male", "female", "male", "", "female", "male", "female", "male", ""),
    ]
    assert [view for view, *_ in groups(table)] == [
        *("pa", "ap", "frontal", "lateral", "lateral", "lateral", "lateral", "", "pa", "ap"),
    ]
    assert len(read_labels("table", labels=path, views="frontal")) == 5


def test_any_table(clinic: Path) -> None:
    table = read_labels("table", labels=clinic, uncertain="mask")
    assert table.pathologies == ("Mass", "Edema", "Pleural_Thickening")
    assert table.labels.dtype == np.int8
    assert table.labels[:4, 1].tolist() == [0, 0, 1, -1]
    assert table.root == clinic.parent
    assert len(read_labels("table", labels=clinic, views="frontal")) == 48


HEADER = "image,patient,Mass\n"
BAD: dict[str, tuple[str, str]] = {
    "missing column": ("image,Mass\na.png,1\n", "no column 'patient'"),
    "no labels": ("image,patient\na.png,1\n", "no label column"),
    "value": (HEADER + "a.png,1,0\nb.png,1,2\n", r"row 2 below the header, column 'Mass': 2"),
    "word": (HEADER + "a.png,1,yes\n", r"row 1 below the header, column 'Mass': 'yes'"),
    "word after numbers": (HEADER + "a,1,1\nb,2,0\nc,3,NA\n", r"row 3 .*column 'Mass': 'NA'"),
    "trailing commas": (HEADER + "a,1,0,\nb,2,1,\n", "Expected 3 columns, got 4"),
    "short row": (HEADER + "a,1,0\nb,2\n", "Expected 3 columns, got 2"),
    "two columns of one name": ("image,patient,Mass,Mass\na,1,0,1\n", "two columns of one name"),
    "padded patient": (HEADER + "a,  ,0\n", "column 'patient'.*blank"),
    "path out of the folder": (HEADER + "../a.png,1,0\n", "leads out of the image folder"),
    "NaN is a word": (HEADER + "a.png,1,NaN\n", r"column 'Mass': 'NaN'"),
    "duplicate": (HEADER + "a.png,1,0\na.png,2,1\n", r"row 2 .*'image': 'a.png' stands twice"),
    "no patient": (HEADER + "a.png,1,0\nb.png,,1\n", r"row 2 .*column 'patient'.*blank"),
    "no image": (HEADER + ",1,0\n", r"row 1 .*column 'image'.*blank"),
    "header only": (HEADER, "no row"),
    "empty": ("", "is empty"),
    "ragged": (HEADER + "a.png,1,0\nb.png,1,0,7,8\n", "not a readable CSV"),
    "same pathology twice": (
        "image,patient,Effusion,Pleural Effusion\na,1,0,0\n",
        "same pathology",
    ),
    "reserved name": ("image,patient,offset\na.png,1,0\n", "cannot be used"),
    "strange view": ("image,patient,view,Mass\na.png,1,upside,0\n", "column 'view': 'upside'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    text, message = BAD[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_labels("table", labels=write(tmp_path / "t.csv", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(bytes(range(256)) * 9),
    ],
    ids=["absent", "folder", "binary"],
)
def test_an_unreadable_table_is_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "t.csv"
    spoil(path)
    with pytest.raises(UsageError, match=r"t\.csv"):
        read_labels("table", labels=path)


def test_a_truncated_gzip_is_refused(tmp_path: Path, clinic: Path) -> None:
    whole = gzip.compress(clinic.read_bytes())
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"t\.csv\.gz"):
        read_labels("table", labels=tmp_path / "t.csv.gz")


def test_views_frontal_needs_a_frontal_view(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", HEADER + "a.png,1,0\n")
    with pytest.raises(UsageError, match="names no frontal view"):
        read_labels("table", labels=path, views="frontal")


def test_names_meet_under_one_spelling() -> None:
    assert canonical("Pleural_Thickening") == canonical("pleural thickening")
    assert find_pathology("Pleural Effusion", NIH) == "Effusion"
    assert find_pathology("No Finding", NIH) == "No_Finding"
    assert find_pathology("Mass", CHEXPERT) is None


def test_the_demo_is_chexperts_table(tmp_path: Path, clinic: Path) -> None:
    demo, real = read_labels("demo"), read_labels("chexpert")
    assert (demo.labels == real.labels).all()
    assert demo.root is None
    with pytest.raises(UsageError, match="brings its own"):
        read_labels("demo", labels=shutil.copy(clinic, tmp_path / "copy.csv"))


def test_a_strange_sex_or_age_is_unknown_and_stops_nothing(tmp_path: Path):
    path = tmp_path / "table.csv"
    cells = ("F,50", "woman,414", "1,-1", "O,old", " ,1950-03-01", ",90+", "m,0")
    rows = "".join(f"{i}.png,{i},{cell},0\n" for i, cell in enumerate(cells))
    path.write_text("image,patient,sex,age,Mass\n" + rows)
    table = read_labels("table", labels=path, root=tmp_path)
    assert list(table.rows["sex"]) == ["female", "", "", "", "", "", "male"]
    assert list(table.rows["age"]) == ["40-60", "", "", "", "", "", "0-20"]
