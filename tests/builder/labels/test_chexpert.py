"""CheXpert's table as it ships, its official tables, and the folders of its images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder.contract import GROUPS, UsageError
from builder.labels import CHEXPERT, LabelTable, read_labels
from builder.labels.chexpert import find_chexpert

Groups = Callable[[LabelTable], list[list[str]]]
Draw = Callable[[Path], Path]

HEAD = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT]
BATCHES = [f"CheXpert-v1.0 batch {n}" for n in ("1 (validate & csv)", "2 (train 1)", "3 (train 2)")]


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
def test_the_folder_is_found_by_either_name_or_as_the_root(
    tmp_path: Path, radiograph: Draw, folder: str
) -> None:
    name = "train/patient00001/study1/view1_frontal.jpg"
    radiograph(tmp_path / folder / name)
    table = read_labels("chexpert", root=tmp_path)
    assert table.rows["image"].tolist() == [name]
    assert table.root is not None
    assert (table.root / table.rows["file"].iloc[0]).samefile(tmp_path / folder / name)
    assert table.notes[-1].startswith("1 of 223,414 rows have an image under")
    assert find_chexpert(tmp_path) == tmp_path


def test_two_copies_of_a_patient_are_refused(tmp_path: Path, radiograph: Draw) -> None:
    for folder in ("CheXpert-v1.0", "CheXpert-v1.0-small"):
        radiograph(tmp_path / folder / "train/patient00001/study1/view1_frontal.jpg")
    first, other = (f"CheXpert-v1.0{end}/train/patient00001" for end in ("-small", ""))
    with pytest.raises(UsageError, match=rf"the same patient, {first} and {other}: point --root"):
        read_labels("chexpert", root=tmp_path)
    (tmp_path / "CheXpert-v1.0").rename(tmp_path / "away")
    (tmp_path / "CheXpert-v1.0").symlink_to("CheXpert-v1.0-small")
    assert len(read_labels("chexpert", root=tmp_path)) == 1


def test_a_root_without_its_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()  # as a folder of classes has, too
    with pytest.raises(UsageError, match=r"No CheXpert images under .*small.*--real none"):
        read_labels("chexpert", root=tmp_path)
    assert find_chexpert(tmp_path) is None


def test_other_patients_images_are_refused(tmp_path: Path, radiograph: Draw) -> None:
    radiograph(tmp_path / "train/patient99999/study1/view1_frontal.jpg")
    with pytest.raises(UsageError, match=r"223,?414 images .*lies under"):
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


def test_a_table_may_lack_sex_and_age(write_csv: Callable[[str], Path], groups: Groups) -> None:
    head = f"Path,Frontal/Lateral,{','.join(CHEXPERT)}\n"
    path = write_csv(f"{head}patient1/a.jpg,Frontal{',1' * 14}\n")
    assert groups(read_labels("chexpert", labels=path)) == [["frontal", "", ""]]


INSIDE = "train/patient00007/study1/view1_frontal.jpg"
PREFIXES = {
    "as published": "CheXpert-v1.0-small/",
    "none": "",
    "absolute": "/data/CheXpert-v1.0/",
    "absolute without the download's name": "/data/cxr/",
    "below another patient": "/home/patient1/CheXpert-v1.0-small/",
    "below another part": "/data/train/patient1/cxr/",
    "Windows": "D:\\cxr\\CheXpert-v1.0-small\\",
    "up and down": "../data/CheXpert-v1.0-small/",
}


@pytest.mark.parametrize("case", PREFIXES)
def test_what_stands_before_the_part_is_left_out(
    write_csv: Callable[[str], Path], case: str
) -> None:
    path = write_csv(f"Path,{','.join(CHEXPERT)}\n{PREFIXES[case]}{INSIDE}{',1' * 14}\n")
    rows = read_labels("chexpert", labels=path).rows
    assert rows["image"].tolist() == [INSIDE]
    assert rows["patient"].tolist() == ["patient00007"]
    assert rows["view"].tolist() == ["frontal"]


def test_an_absolute_path_names_the_image_under_the_root_alone(
    write_csv: Callable[[str], Path], tmp_path: Path, radiograph: Draw
) -> None:
    elsewhere = radiograph(tmp_path / "patient1" / INSIDE)
    other = elsewhere.with_name("view2_frontal.jpg")
    ours = radiograph(tmp_path / "ours" / INSIDE)
    rows = [f"{path}{',1' * 14}" for path in (elsewhere, radiograph(other))]
    path = write_csv("\n".join([f"Path,{','.join(CHEXPERT)}", *rows]) + "\n")
    table = read_labels("chexpert", labels=path, root=tmp_path / "ours")
    assert table.root is not None
    assert [table.root / file for file in table.rows["file"]] == [ours, ours.with_name(other.name)]
    assert set(table.rows["patient"]) == {"patient00007"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train/patient1/../../../x.jpg", "leads out of the image folder"),
        ("/data/patient1/x.jpg", "below the image folder"),
        ("train/someone/x.jpg", "not recognised"),
        ('"train/patient1/x\n/../../../../x.jpg"', "has a line break"),
        ('"\n/../../data/patient1/x.jpg"', "leads out|has a line break|below the image folder"),
    ],
)
def test_a_path_that_is_none_is_refused_with_its_line(
    write_csv: Callable[[str], Path], name: str, message: str
) -> None:
    path = write_csv(f"Path,{','.join(CHEXPERT)}\n{INSIDE}{',1' * 14}\n{name}{',1' * 14}\n")
    with pytest.raises(UsageError, match=rf"line 3, column 'Path'.*{message}"):
        read_labels("chexpert", labels=path)


def write_tables(folder: Path, prefix: str) -> list[str]:
    """train.csv, valid.csv and test_labels.csv as published; the paths of their images."""
    random = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    images: list[str] = []
    for name, part, first, patients in (
        ("train.csv", "train", 1, 40),
        ("valid.csv", "valid", 64541, 5),
        ("test_labels.csv", "test", 64741, 6),
    ):
        rows = []
        for patient in range(first, first + patients):
            for view in ("view1_frontal", "view2_lateral")[: 1 + patient % 2]:
                path = f"{part}/patient{patient:05d}/study1/{view}.jpg"
                images.append(path)
                kind = view.split("_")[1].capitalize()
                beam = "" if kind == "Lateral" else ["AP", "PA"][patient % 3 == 0]
                cells = random.choice(["", "0.0", "1.0"] + ["-1.0"] * (part == "train"), 14)
                about = (["Male", "Female"][patient % 2], 20 + patient % 70, kind, beam)
                rows.append([prefix + path, *about, *cells])
        table = pd.DataFrame(rows, columns=HEAD)
        if part == "test":  # which has neither view, sex nor age, and No Finding last
            table = table[["Path", *CHEXPERT[1:], "No Finding"]]
        table.to_csv(folder / name, index=False)
    return images


def read_by_pandas(folder: Path, names: list[str]) -> pd.DataFrame:
    """What must be sealed of the tables, by pandas alone."""
    parts = []
    for name in names:
        table = pd.read_csv(folder / name)
        inside = table["Path"].str.extract(r"((?:train|valid|test)/patient\d+/.*)")[0]
        rows = table[list(CHEXPERT)].fillna(0).astype(int).set_axis(inside)
        rows["patient"] = inside.str.split("/").str[1].to_numpy()
        rows["split"] = {"train.csv": "train", "valid.csv": "val"}.get(name, "test")
        view = inside.str.extract(r"_(frontal|lateral)\.")[0]
        if "AP/PA" in table:
            view = table["AP/PA"].str.lower().fillna(view)
        rows["view"] = view.to_numpy()
        rows["sex"] = table["Sex"].str.lower().to_numpy() if "Sex" in table else ""
        parts.append(rows)
    return pd.concat(parts)


LAYOUTS = {
    "the small download": (
        "CheXpert-v1.0-small",
        "CheXpert-v1.0-small/",
        {"train": "CheXpert-v1.0-small/train", "valid": "CheXpert-v1.0-small/valid"},
    ),
    "the batches of the full-size download": (
        BATCHES[0],
        "CheXpert-v1.0/",
        {"train": None, "valid": f"{BATCHES[0]}/valid"},
    ),
}


@pytest.fixture(params=LAYOUTS)
def download(request: pytest.FixtureRequest, tmp_path: Path, radiograph: Draw) -> tuple[Path, Path]:
    """CheXpert as people unpack it, with the test set beside it: the root and the tables."""
    tables, prefix, folders = LAYOUTS[request.param]
    root = tmp_path / "data"
    for name in write_tables(root / tables, prefix):
        part, patient, rest = name.split("/", 2)
        number = int(patient.removeprefix("patient"))
        folder = folders.get(part, "CheXpert/test") or BATCHES[1 + (number > 20)]
        radiograph(root / folder / patient / rest)
    return root, root / tables


def test_the_official_split_is_sealed(
    download: tuple[Path, Path],
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> None:
    root, tables = download
    sealed = packed("chexpert", root=root, labels=tables, official=True)
    expected = read_by_pandas(tables, ["train.csv", "valid.csv", "test_labels.csv"])
    same(sealed, expected)
    assert sealed["split"].value_counts().to_dict() == {"train": 60, "val": 8, "test": 9}


def test_our_split_is_of_the_training_table_alone(
    download: tuple[Path, Path],
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
    by_hash: Callable[[dict[str, str], str], dict[str, str]],
) -> None:
    root, tables = download
    expected = read_by_pandas(tables, ["train.csv"])
    parts = by_hash(expected["patient"].to_dict(), "0.1")
    sealed = packed("chexpert", "--holdout", 0.1, 0.1, root=root, labels=tables / "train.csv")
    same(sealed, expected.assign(split=expected.index.map(parts)))


def test_the_official_split_needs_all_tables(download: tuple[Path, Path]) -> None:
    root, tables = download
    (tables / "test_labels.csv").unlink()
    with pytest.raises(
        UsageError, match=r"needs test_labels\.csv \(or .* it is not in .*--split hash"
    ):
        read_labels("chexpert", labels=tables, root=root, official=True)
    with pytest.raises(UsageError, match=r"needs valid\.csv and test_labels\.csv .*: neither"):
        read_labels("chexpert", official=True)


def test_rows_whose_patient_has_no_folder_are_left_out(
    download: tuple[Path, Path], tmp_path: Path
) -> None:
    root, tables = download
    first = next(root.rglob("patient00002"))
    first.rename(tmp_path / "elsewhere")
    table = read_labels("chexpert", labels=tables, root=root)
    assert len(table) == 59
    assert table.notes == (f"59 of 60 rows have an image under {root}; the others are left out.",)
