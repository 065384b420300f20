"""Columns that name patients are known by what people call them, and by what a dataset says."""

from dataclasses import replace

import pytest

from builder.contract import Manifest
from builder.share.people import TableFacts, is_person, people_in, taken, told_by

PERSONS = (
    *("patient", "Patient ID", "PatientID", "patient_no", "subject_id", "MRN", "Name", "full name"),
    *("pat_name", "Patientenname", "Nachname", "PatNr", "case", "first_name", "Vorname", "Surname"),
    *("Pat-ID", "case number", "Fallnummer", "ID_patient", "name of patient", "Prénom", "Nom"),
    *("patientLastName", "medical record number", "Hospital No.", "participant_id", " Name 2 "),
)
OTHERS = (
    *("image", "file name", "FileName", "image_id", "study_id", "View", "Patient Age"),
    *("PatientSex_DICOM", "Patient Gender", "Hospital Name", "number of cases", "id", "Fall"),
    *("No Finding", "Path", "Pathology", "Patterns", "caseous", "", "Mass", "class name"),
)


@pytest.mark.parametrize("name", PERSONS)
def test_a_column_of_persons_is_known(name: str) -> None:
    assert is_person(name)


@pytest.mark.parametrize("name", OTHERS)
def test_another_column_is_none(name: str) -> None:
    assert not is_person(name)


def told(manifest: Manifest, dataset: str = "table", **options: object) -> TableFacts:
    source = {**manifest.source, "dataset": dataset}
    return told_by(replace(manifest, source=source, recipe={"table": options}))


def test_the_dataset_tells_how_its_table_calls_patients(manifest: Manifest) -> None:
    asked = told(manifest, patient_column="Zeichen")
    people = people_in(["image", " zeichen", "Mass", "Name"], asked)
    assert people is not None
    assert people.columns == (1, 3)
    assert [*people.of(["a", " x ", "1", "Anna"])] == ["x", "Anna"]
    assert [*people.of(["a", "x"])] == ["x"]
    assert set(asked.names) == {"Zeichen", *manifest.pathologies}
    assert told(manifest, patient_column=None).patient == "patient"


def test_a_label_is_no_patient_unless_the_build_said_so(manifest: Manifest) -> None:
    manifest = replace(manifest, pathologies=("Case", "Mass"))
    assert people_in(["image", "Case", "Mass"], told(manifest)) is None
    assert people_in(["image", "Case"], told(manifest, patient_column="case")) is not None


@pytest.mark.parametrize(
    ("dataset", "column", "image", "numbers"),
    [
        ("chexpert", "Path", "CheXpert-v1.0/train/patient00049/study2/view1.jpg", ["00049"]),
        ("demo", "Path", "train/patient00049/study2/view1.jpg", ["00049"]),
        ("nih", "Image Index", "00000013_005.png", ["00000013"]),
        ("vindr", "image_id", "0" * 32, []),
    ],
)
def test_where_images_alone_tell_of_patients_their_names_are_taken(
    manifest: Manifest, dataset: str, column: str, image: str, numbers: list[str]
) -> None:
    people = people_in([column, "Mass"], told(manifest, dataset))
    assert people is not None
    assert [*people.of([image, "1"])] == numbers
    assert people_in([column, "Mass"], told(manifest)) is None
    assert f"{column!r}; if another" in taken("t.csv", [column, "Mass"], people)


def test_a_strangers_pattern_is_not_run(manifest: Manifest) -> None:
    asked = told(manifest, patient_pattern="(a+)+b", image_column="File")
    people = people_in(["File"], asked)
    assert people is not None
    assert [*people.of(["person12/" + "a" * 64 + "_7.png"])] == ["12", "7"]


@pytest.mark.parametrize("table", [None, "x", {}, {"patient_column": 7, "image_column": []}])
def test_a_recipe_of_a_stranger_is_no_fault(manifest: Manifest, table: object) -> None:
    assert people_in(["patient"], told_by(replace(manifest, recipe={"table": table}))) is not None
