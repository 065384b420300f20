"""MIMIC-CXR-JPG: three tables made from the published headers, and the folders of its images."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import CHEXPERT, read_labels

Draw = Callable[[Path], Path]
Packed = Callable[..., pd.DataFrame]
Same = Callable[[pd.DataFrame, pd.DataFrame], None]

NAME = "mimic-cxr-2.0.0-"
METADATA = [
    *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition"),
    *("Rows", "Columns", "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning"),
    *("ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning"),
]
ALPHABETICAL = sorted(CHEXPERT)  # as the labels stand in the table
VIEWS = {
    "PA": "pa",
    "AP": "ap",
    "LATERAL": "lateral",
    "LL": "lateral",
    "AP AXIAL": "ap",
    "XTABLE LATERAL": "lateral",
    "LAO": "",
    "RAO": "",
    "SWIMMERS": "",
    "": "",
}


@pytest.fixture
def release(tmp_path: Path, radiograph: Draw) -> Path:
    """The release as it is downloaded: images in files/, tables compressed beside them."""
    random = np.random.default_rng(11)
    metadata, labels, split = [], [], []
    for patient in range(50):
        subject = 10_000_032 + 250_000 * patient
        part = ["train", "validate", "test"][(patient % 10 == 8) + 2 * (patient % 10 == 9)]
        for visit in range(1 + patient % 2):
            study = 50_000_000 + 10 * patient + visit
            if (patient, visit) != (5, 1):  # a study that the labeller did not see
                cells = random.choice(["", "0.0", "1.0", "-1.0"], 14)
                labels.append([subject, study, *cells])
            for view in ("PA", list(VIEWS)[patient % len(VIEWS)]):
                words = [f"{random.integers(16**8):08x}" for _ in range(5)]
                dicom = "-".join(words)
                metadata.append([dicom, subject, study, "CHEST", view, 64, 64])
                split.append([dicom, study, subject, part])
                folder = f"files/p{str(subject)[:2]}/p{subject}/s{study}"
                radiograph(tmp_path / folder / f"{dicom}.jpg")
    tables = {
        "metadata": pd.DataFrame(metadata).reindex(columns=range(12)).set_axis(METADATA, axis=1),
        "chexpert": pd.DataFrame(labels, columns=["subject_id", "study_id", *ALPHABETICAL]),
        "split": pd.DataFrame(split, columns=["dicom_id", "study_id", "subject_id", "split"]),
    }
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{NAME}{name}.csv.gz", index=False)
    return tmp_path


def read_by_pandas(release: Path) -> pd.DataFrame:
    read = [pd.read_csv(release / f"{NAME}{name}.csv.gz") for name in ("metadata", "split")]
    labels = pd.read_csv(release / f"{NAME}chexpert.csv.gz", dtype=str).fillna("0.0")
    labels = labels.astype(float).astype(int)
    table = read[0].merge(labels, on=["subject_id", "study_id"])
    table = table.merge(read[1], on=["dicom_id", "study_id", "subject_id"]).set_index("dicom_id")
    expected = table[list(CHEXPERT)].copy()
    expected["patient"] = table["subject_id"]
    expected["split"] = table["split"].replace("validate", "val")
    expected["view"] = table["ViewPosition"].fillna("").map(VIEWS)
    return expected


def test_the_official_split_is_sealed(release: Path, packed: Packed, same: Same) -> None:
    expected = read_by_pandas(release)
    assert len(expected) == 148
    same(packed("mimic", root=release, official=True), expected)


def test_our_split_and_a_part_of_the_images(
    release: Path,
    packed: Packed,
    same: Same,
    by_hash: Callable[[dict[str, str], str], dict[str, str]],
) -> None:
    (release / "files/p10").rename(release / "p10")  # not below files/
    expected = read_by_pandas(release)
    patients = expected["patient"].astype(str)
    parts = by_hash(patients.to_dict(), "0.1")
    sealed = packed("mimic", "--holdout", 0.1, 0.1, root=release / "files")
    expected = expected[~patients.str.startswith("10")]
    assert len(expected) < 148
    same(sealed, expected.assign(split=expected.index.map(parts)))


def test_what_is_left_out_is_said(release: Path) -> None:
    (release / "files/p10").rename(release / "p10")
    table = read_labels("mimic", root=release, official=True)
    assert table.notes == (
        f"Tables read: {NAME}metadata.csv.gz, {NAME}chexpert.csv.gz, {NAME}split.csv.gz.",
        "2 of 150 images are left out: their studies have no row in mimic-cxr-2.0.0-chexpert.csv.gz"
        ".",
        f"{len(table)} of 148 rows have an image under {release}; the others are left out.",
    )


def test_the_labels_of_negbio_are_used_where_they_are_named(release: Path) -> None:
    path = release / f"{NAME}chexpert.csv.gz"
    negbio = release / f"{NAME}negbio.csv"
    negbio.write_bytes(gzip.decompress(path.read_bytes()).replace(b"1.0", b"0.0"))
    assert (read_labels("mimic", labels=path, uncertain="mask").labels == 1).any()
    assert not (read_labels("mimic", labels=negbio, uncertain="mask").labels == 1).any()
    path.unlink()
    assert not (read_labels("mimic", labels=release, uncertain="mask").labels == 1).any()


@pytest.mark.parametrize("name", ["metadata", "chexpert", "split"])
def test_a_missing_table_is_named_with_where_it_was_looked_for(release: Path, name: str) -> None:
    (release / f"{NAME}{name}.csv.gz").unlink()
    with pytest.raises(
        UsageError, match=rf"needs .*{NAME}{name}\.csv \(or \.csv\.gz\): it is not in .*{release}"
    ):
        read_labels("mimic", root=release / "files", official=True)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "chexpert",
            "-1.0",
            "2.0",
            r"chexpert\.csv, line \d+, .*: 2(\.0)? is not 1, 0, -1",
        ),
        ("split", "validate", "holdout", r"split\.csv, line \d+, column 'split': 'holdout' is not"),
        ("metadata", ",10000032", "/../../x,10000032", r"line 2, column 'dicom_id'.*leads out"),
        ("metadata", "10000032", "", r"metadata\.csv, line 2, column 'subject_id'.*blank"),
    ],
)
def test_a_bad_cell_is_refused_with_its_table_and_line(
    release: Path, name: str, old: str, new: str, message: str
) -> None:
    path = release / f"{NAME}{name}.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode().replace(old, new, 1)
    path.unlink()
    (release / f"{NAME}{name}.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_labels("mimic", root=release, official=True)


def test_labels_of_other_studies_are_refused(release: Path) -> None:
    path = release / f"{NAME}chexpert.csv.gz"
    table = pd.read_csv(path)
    table.assign(study_id=table["study_id"] + 1_000_000).to_csv(path, index=False)
    with pytest.raises(UsageError, match="no row that can be used: 150 of 150 images are left out"):
        read_labels("mimic", root=release)


def test_a_root_without_the_images_is_refused(release: Path, tmp_path: Path) -> None:
    (release / "files").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"150 images of .* lies under"):
        read_labels("mimic", root=release)
