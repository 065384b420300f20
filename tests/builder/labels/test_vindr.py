"""VinDr-CXR: Kaggle's boxes as they ship, PhysioNet's tables, and several readers' opinions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import LabelTable, read_labels
from builder.labels.source import Readers, TableOptions
from builder.labels.tables import shipped_table
from builder.labels.vindr import VINDR

Draw = Callable[[Path], Path]

KAGGLE = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
SHARES: dict[Readers, float] = {"any": 1e-9, "majority": 0.5, "all": 1 - 1e-9}


def read(path: Path, readers: Readers) -> LabelTable:
    return read_labels("vindr", labels=path, options=TableOptions(readers=readers))


@pytest.mark.parametrize("readers", SHARES)
def test_the_shipped_table_is_read_as_pandas_reads_it(readers: Readers) -> None:
    path = shipped_table("vinbigdata-train.csv.gz")
    table = read(path, readers)
    boxes = pd.read_csv(path)
    seen = pd.get_dummies(boxes["class_name"]).groupby([boxes["image_id"], boxes["rad_id"]]).max()
    share = seen.groupby("image_id").mean()  # of the readers
    expected = share >= SHARES[readers] if readers != "majority" else share > 0.5
    expected["No finding"] = share["No finding"] > (0.5 if readers == "majority" else 1 - 1e-9)
    labels = pd.DataFrame(table.labels, columns=table.pathologies, index=table.rows["image"])
    pd.testing.assert_frame_equal(
        labels.astype(bool).sort_index(), expected[labels.columns], check_names=False
    )
    assert table.rows["patient"].tolist() == table.rows["image"].tolist()
    assert table.notes == (
        "Tables read: vinbigdata-train.csv.gz.",
        "VinDr-CXR names no patients: each image counts as one, so images of one person may be in "
        "two splits.",
    )


def test_a_readers_boxes_count_once(write_csv: Callable[[str], Path]) -> None:
    rows = [
        *("a,ILD,5,R1,1,1,2,2", "a,ILD,5,R1,3,3,4,4", "a,ILD,5,R1,5,5,6,6"),
        *("a,Calcification,2,R2,1,1,2,2", "a,No finding,14,R3,,,,", "b,No finding,14,R1,,,,"),
    ]
    table = read(write_csv("\n".join([KAGGLE, *rows]) + "\n"), "majority")
    assert table.rows["image"].tolist() == ["a", "b"]
    assert table.labels.sum(axis=1).tolist() == [0, 1]
    table = read(write_csv("\n".join([KAGGLE, *rows]) + "\n"), "any")
    assert table.labels.sum(axis=1).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{KAGGLE}\na,Rib fracture,22,R1,1,1,2,2\n",
            r"line 2.*'Rib fracture' is no class",
        ),
        (f"{KAGGLE}\na,ILD,5,,1,1,2,2\n", r"line 2, column 'rad_id'.*is blank"),
        ("image_id,rad_id,ILD\na,R1,1\n", "no column 'Aortic enlargement'"),
        (
            f"image_id,rad_id,{','.join(VINDR)}\na,R1{',0' * 27},2\n",
            "line 2, column 'No finding'",
        ),
    ],
)
def test_a_bad_table_is_refused(write_csv: Callable[[str], Path], text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(write_csv(text), "majority")


@pytest.fixture
def release(tmp_path: Path, radiograph: Draw) -> Path:
    """PhysioNet's release: three readers of each training image, one consensus of each test one."""
    random = np.random.default_rng(17)
    for part, count, readers in (("train", 40, 3), ("test", 10, 1)):
        rows = []
        for _ in range(count):
            name = f"{random.integers(2**63):032x}"
            radiograph(tmp_path / part / f"{name}.dicom")
            for reader in range(readers):
                rows.append([name, f"R{reader + 8}", *random.integers(0, 2, len(VINDR))])
        table = pd.DataFrame(rows, columns=["image_id", "rad_id", *VINDR])
        if part == "test":
            table = table.drop(columns="rad_id")
            table = table.rename(columns={"Other diseases": "Other disease"})
        (tmp_path / "annotations").mkdir(exist_ok=True)
        table.to_csv(tmp_path / f"annotations/image_labels_{part}.csv", index=False)
    return tmp_path


def read_by_pandas(release: Path) -> pd.DataFrame:
    paths = {part: release / f"annotations/image_labels_{part}.csv" for part in ("train", "test")}
    tables = {part: pd.read_csv(path) for part, path in paths.items()}
    tables["test"] = tables["test"].rename(columns={"Other disease": "Other diseases"})
    parts = []
    for part, table in tables.items():
        votes = table.groupby("image_id")[list(VINDR)].mean()
        parts.append((votes > 0.5).astype(int).assign(part=part))
    expected = pd.concat(parts)
    return expected.assign(patient=expected.index, view="pa")


def test_the_official_split_is_sealed(
    release: Path,
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> None:
    expected = read_by_pandas(release)
    sealed = packed("vindr", "--holdout", 0.1, 0, root=release, official=True)
    same(sealed, expected.drop(columns="part"))
    assert set(sealed.index[sealed["split"] == "test"]) == {
        *expected.index[expected["part"] == "test"]
    }
    assert (sealed["split"] == "val").any()  # drawn from train, which has none
    notes = read_labels("vindr", root=release, official=True).notes
    assert notes[0] == "Tables read: image_labels_train.csv, image_labels_test.csv."
    assert len(notes) == 2


def test_our_split_is_of_the_training_images_alone(
    release: Path,
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
    by_hash: Callable[[dict[str, str], str], dict[str, str]],
) -> None:
    expected = read_by_pandas(release)
    expected = expected[expected["part"] == "train"].drop(columns="part")
    parts = by_hash({name: name for name in expected.index}, "0.1")
    sealed = packed("vindr", "--holdout", 0.1, 0.1, root=release / "train")
    same(sealed, expected.assign(split=expected.index.map(parts)))


def test_the_official_split_needs_tables_of_one_kind(release: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "annotations/train.csv"
    boxes.write_text(f"{KAGGLE}\na,ILD,5,R1,1,1,2,2\n")
    with pytest.raises(UsageError, match="have different labels"):
        read_labels("vindr", labels=boxes, official=True)
    (release / "annotations/image_labels_test.csv").unlink()
    with pytest.raises(UsageError, match=r"needs image_labels_test\.csv .*: it is not in"):
        read_labels("vindr", root=release, official=True)
