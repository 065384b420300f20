"""BRAX: its spreadsheet made from the published header, with PNG or DICOM files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import CHEXPERT, LabelTable, read_labels

HEAD = [
    *("DicomPath", "PngPath", "PatientID", "PatientSex", "PatientAge", "AccessionNumber"),
    *("StudyDate", *CHEXPERT, "ViewPosition", "Rows", "Columns", "Manufacturer"),
]
VIEWS = {"PA": "pa", "AP": "ap", "L": "lateral", "RL": "lateral", "": ""}
AGES = {"85 or more": "80-", "20": "20-40", "75": "60-80", "": ""}


@pytest.fixture
def release(tmp_path: Path, radiograph: Callable[[Path], Path]) -> Path:
    random = np.random.default_rng(13)
    rows = []
    for patient in range(40):
        for view in ("PA", list(VIEWS)[patient % 5]):
            name = f"id_{patient:04x}/Study_{patient}.1/Series_{patient}.2/image-{view}"
            png, dicom = f"images/{name}.png", f"Anonymized_DICOMs/{name}.dcm"
            radiograph(tmp_path / png)
            radiograph(tmp_path / dicom)
            about = (["M", "F"][patient % 2], list(AGES)[patient % 4], patient, 20100101)
            cells = random.choice(["", "0.0", "1.0", "-1.0"], 14)
            rows.append([dicom, png, f"id_{patient:04x}", *about, *cells, view, 64, 64, "X"])
    table = pd.DataFrame(rows, columns=HEAD).drop_duplicates("PngPath")
    table.to_csv(tmp_path / "master_spreadsheet_update.csv")  # with pandas' row numbers
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "column"),
    [(".", "PngPath"), ("images", "PngPath"), ("Anonymized_DICOMs", "DicomPath")],
)
def test_our_split_is_sealed(
    release: Path,
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
    by_hash: Callable[[dict[str, str], str], dict[str, str]],
    folder: str,
    column: str,
) -> None:
    path = release / "master_spreadsheet_update.csv"
    if column == "DicomPath":
        (release / "images").rename(release / "pngs")
    table = pd.read_csv(path, keep_default_na=False).set_index(column)
    expected = table[list(CHEXPERT)].replace("", 0).astype(float).astype(int)
    expected["patient"] = table["PatientID"]
    expected["view"] = table["ViewPosition"].map(VIEWS)
    expected["sex"] = table["PatientSex"].map({"M": "male", "F": "female"})
    expected["age"] = table["PatientAge"].map(AGES)
    expected["split"] = expected.index.map(by_hash(expected["patient"].to_dict(), "0.1"))
    same(packed("brax", "--holdout", 0.1, 0.1, root=release / folder), expected)


def test_rows_without_an_image_are_left_out(release: Path) -> None:
    (release / "images/id_0000/Study_0.1/Series_0.2/image-PA.png").unlink()
    table: LabelTable = read_labels("brax", root=release)
    assert table.notes[-1].startswith(f"{len(table)} of {len(table) + 1} rows have an image under")


def test_what_brax_lacks_is_said(release: Path) -> None:
    with pytest.raises(UsageError, match="BRAX has no official split: use --split hash"):
        read_labels("brax", root=release, official=True)
    with pytest.raises(UsageError, match=r"BRAX needs its table master_spreadsheet_update\.csv"):
        read_labels("brax")
    (release / "images").rename(release / "pictures")
    (release / "Anonymized_DICOMs").rename(release / "files")
    with pytest.raises(UsageError, match=r"images of .*master_spreadsheet_update\.csv lies under"):
        read_labels("brax", root=release)


def test_a_spreadsheet_without_paths_is_refused(write_csv: Callable[[str], Path]) -> None:
    path = write_csv(f"PatientID,{','.join(CHEXPERT)}\nid_1{',1' * 14}\n")
    with pytest.raises(UsageError, match="no column 'PngPath'"):
        read_labels("brax", labels=path)
