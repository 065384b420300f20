"""The program of docs/inputs.md for DICOM files runs as it stands, and loses no image unsaid."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)

PAGE = (Path(__file__).parents[1] / "docs/inputs.md").read_text()
SECTION = PAGE.split("### A folder of DICOM files\n")[1].split("\n### ")[0]
(PROGRAM,) = re.findall(r"```python\n(.*?)```", SECTION, re.S)
(COMMAND,) = re.findall(r"```bash\n(.*?)```", SECTION, re.S)
PATIENTS = [f"{number:03d}" for number in range(60)]


def write(path: Path, patient: str | None, kind: UID = ComputedRadiographyImageStorage) -> None:
    """A DICOM file of a patient; None: one without an image."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = kind, generate_uid()
    if patient is not None:
        made.PatientID, made.ViewPosition = patient, "PA"
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.Rows = made.Columns = 64
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
        made.PixelData = np.arange(4096, dtype="<u2").tobytes()
        made["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images of all patients, a DICOMDIR and a text."""
    monkeypatch.chdir(tmp_path)
    for patient in PATIENTS:
        write(tmp_path / f"dicoms/{patient}/IM0001", patient)
    write(tmp_path / "dicoms/DICOMDIR", None, MediaStorageDirectoryStorage)
    (tmp_path / "dicoms/readme.txt").write_text("No image.")
    return tmp_path


def run(patients: list[str]) -> None:
    """The program, with a table of findings of these patients."""
    found = [number % 3 % 2 for number in range(len(patients))]
    pd.DataFrame({"patient": patients, "Mass": found}).to_csv("findings.csv", index=False)
    exec(PROGRAM, {})


@pytest.mark.slow
def test_a_folder_of_dicom_files_becomes_a_table_that_is_packed(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(PATIENTS)
    assert capsys.readouterr().out.splitlines() == ["no image: DICOMDIR", "no image: readme.txt"]
    table = pd.read_csv(archive / "labels.csv", dtype=str)
    assert [*table.columns] == ["image", "patient", "view", "Mass"]
    assert [*table["patient"]] == PATIENTS
    assert {*table["Mass"]} == {"0", "1"}
    name, *words = shlex.split(COMMAND)
    packed = subprocess.run(
        [Path(sys.executable).with_name(name), *words],
        cwd=archive,
        capture_output=True,
        text=True,
        check=False,
    )
    assert packed.returncode == 0, packed.stderr


def test_an_image_whose_patient_has_no_row_or_another_spelling_is_named(archive: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["0", *PATIENTS[1:-1]])
    assert str(ended.value.code).splitlines() == [
        "findings.csv has no row for the patient of:",
        "000/IM0001: 000",
        "059/IM0001: 059",
    ]
    assert not (archive / "labels.csv").exists()
