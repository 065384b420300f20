"""RSNA Pneumonia Detection Challenge: the shipped table, the classes, and DICOM files."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import read_labels
from builder.labels.tables import shipped_table

CLASSES = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
BOXES = "patientId,x,y,width,height,Target"


def test_the_shipped_table_is_read_as_pandas_reads_it() -> None:
    table = read_labels("rsna")
    boxes = pd.read_csv(shipped_table("kaggle_stage_2_train_labels.csv.zip"))
    target = boxes.groupby("patientId", sort=False)["Target"].max()
    headers = pd.read_csv(shipped_table("kaggle_stage_2_train_images_dicom_headers.csv.gz"))
    headers = headers.set_index("PatientID").loc[target.index]
    assert table.pathologies == ("Lung Opacity", "Pneumonia")
    assert table.rows["image"].tolist() == target.index.tolist()
    assert table.labels.tolist() == [[one, one] for one in target]
    assert table.rows["view"].tolist() == headers["ViewPosition"].str.lower().tolist()
    sexes = headers["PatientSex"].map({"M": "male", "F": "female"})
    assert table.rows["sex"].tolist() == sexes.tolist()
    assert table.notes[1].startswith("RSNA Pneumonia Detection Challenge names no patients")


@pytest.fixture
def release(tmp_path: Path, radiograph: Callable[[Path], Path]) -> Path:
    """Kaggle's folder with its two tables, which repeat the images that have several boxes."""
    boxes, classes = [BOXES], ["patientId,class"]
    for i in range(60):
        name = f"{i * 7919:08x}-3906-4c2f-b5b4-8aa1280f6181"
        radiograph(tmp_path / f"stage_2_train_images/{name}.dcm")
        box = "1.0,2.0,3.0,4.0,1" if i % 3 == 0 else ",,,,0"
        for _ in range(1 + (i % 6 == 0)):
            boxes.append(f"{name},{box}")
            classes.append(f"{name},{CLASSES[i % 3]}")
    (tmp_path / "stage_2_train_labels.csv").write_text("\n".join(boxes) + "\n")
    (tmp_path / "stage_2_detailed_class_info.csv").write_text("\n".join(classes) + "\n")
    radiograph(tmp_path / "stage_2_test_images/stray.dcm")
    return tmp_path


def test_our_split_is_sealed(
    release: Path,
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
    by_hash: Callable[[dict[str, str], str], dict[str, str]],
) -> None:
    path = release / "stage_2_train_labels.csv"
    boxes = pd.read_csv(path).groupby("patientId")["Target"].max()
    classes = pd.read_csv(release / "stage_2_detailed_class_info.csv").drop_duplicates()
    healthy = classes.set_index("patientId")["class"] == "Normal"
    expected = pd.DataFrame({"Lung Opacity": boxes, "Pneumonia": boxes})
    expected["No Finding"] = healthy.astype(int)
    expected["patient"] = expected.index
    expected["split"] = expected.index.map(by_hash({n: n for n in expected.index}, "0.1"))
    same(packed("rsna", "--holdout", 0.1, 0.1, root=release, labels=path), expected)


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("train_labels", "a,,,,,0\na,1,2,3,4,1\n", r"line 3, column 'Target'.*contradicts"),
        ("train_labels", "a,,,,,2\n", r"line 2, column 'Target': 2 is neither 1 nor 0"),
        ("detailed_class_info", "a,Healthy\n", r"line 2, column 'class': 'Healthy'"),
        ("detailed_class_info", "a,Normal\na,Lung Opacity\n", "line 3.*a second class"),
        ("detailed_class_info", "a,Normal\n", r"class_info\.csv has no class for '0000"),
    ],
)
def test_a_bad_table_is_refused(release: Path, table: str, text: str, message: str) -> None:
    path = release / f"stage_2_{table}.csv"
    path.write_text(f"{path.read_text().splitlines()[0]}\n{text}")
    with pytest.raises(UsageError, match=message):
        read_labels("rsna", labels=release)


def test_rsna_has_no_official_split() -> None:
    with pytest.raises(UsageError, match="no official split: use --split hash"):
        read_labels("rsna", official=True)
