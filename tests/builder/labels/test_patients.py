"""One person has one spelling, and no spreadsheet's error is a person."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import read_labels
from builder.labels.patients import check_patients, patients_of

Write = Callable[[str], Path]
Form = Literal["NFD", "NFKD"]


def check(write_csv: Write, *patients: str) -> None:
    path = write_csv("image,patient\n" + "".join(f"x,{patient}\n" for patient in patients))
    check_patients(pd.Series(patients, dtype="str"), path, "patient")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("12", "12.0"), ("12", "00000012"), ("pat1", "PAT1"), ("pat 1", "pat1"), ("7", "07.00")),
        *(("MRN0001", "\u200bMRN0001"), ("MRN0001", "MRN\u00ad0001"), ("12", "\uff11\uff12")),
        *(("pat1", "pat001"), ("A-1", "a-01"), ("0", "00"), ("Müller", "MÜLLER")),
    ],
)
def test_two_spellings_of_one_person_are_refused(write_csv: Write, one: str, other: str) -> None:
    with pytest.raises(UsageError, match="look like one patient: write an id in one way") as caught:
        check(write_csv, one, "5", one, other)
    assert str(caught.value).count("line 5") == 1
    assert f"line 5, column 'patient': {other!r} and {one!r} in line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("10.0", "0010"), ("1.0", "001"), ("7,0", "007"), ("P1-02", "P01-2")),
        *(("s01p1", "s1p01"), ("pat1 ", " PAT1"), ("Ab", "aB")),
    ],
)
def test_spellings_of_equal_length_are_refused_as_others_are(
    write_csv: Write, one: str, other: str
) -> None:
    with pytest.raises(UsageError, match="look like one patient: write an id in one way") as caught:
        check(write_csv, one, other)
    assert f"line 3, column 'patient': {other!r} and {one!r} in line 2" in str(caught.value)


@pytest.mark.parametrize("form", ["NFD", "NFKD"])
def test_an_accent_that_is_stored_in_two_ways_is_one_letter(write_csv: Write, form: Form) -> None:
    with pytest.raises(UsageError, match=r"in one way, as their accents are stored in two\.$"):
        check(write_csv, "Müller", unicodedata.normalize(form, "Müller"))
    with pytest.raises(UsageError, match=r"look like one patient: write an id in one way\.$"):
        check(write_csv, "Müller", unicodedata.normalize(form, "MÜLLER"))


def test_an_id_of_signs_that_are_not_seen_is_no_id(write_csv: Write) -> None:
    with pytest.raises(UsageError, match=r"line 3, column 'patient': '\\u200b' is no patient's id"):
        check(write_csv, "5", "\u200b")


def test_read_labels_refuses_them(write_csv: Write) -> None:
    path = write_csv("image,patient,Mass\na.png,10.0,1\nb.png,0010,0\n")
    with pytest.raises(UsageError, match=r"line 3, column 'patient': '0010' and '10\.0' in line 2"):
        read_labels("table", labels=path)


@pytest.mark.parametrize(
    "word",
    ["nan", "NaN", "None", "NULL", "n/a", "NA", "inf", "-inf", "#N/A", "#VALUE!", "unknown", "?"],
)
def test_words_for_nobody_are_no_patients(write_csv: Write, word: str) -> None:
    with pytest.raises(UsageError, match=r"line 3, column 'patient': .* is no patient's id"):
        check(write_csv, "1", word)


@pytest.mark.parametrize("number", ["3.1E+38", "1.23457e+12", "3E+38"])
def test_a_number_cut_short_is_refused(write_csv: Write, number: str) -> None:
    with pytest.raises(UsageError, match="a spreadsheet cut short: export the table again as text"):
        check(write_csv, "7", number)


def test_persons_are_told_apart(write_csv: Write) -> None:
    check(
        write_csv, "1", "10", "100", "1.5", "1e5", "p1", "p10", "a00b", "a0c", "Nanna", "1-1", "11"
    )
    check(write_csv, "Muller", "Müller", "s01p1", "s01p2", "s10p1")
    check(write_csv, "1.2.840.10", "1.2.840.1")


def test_the_patient_is_read_from_the_path() -> None:
    images = pd.Series(["person12_virus_1.jpeg", "person3/a.jpeg"], dtype="str")
    found, notes = patients_of(images, r"person(\d+)")
    assert (found.tolist(), notes) == (["12", "3"], ())
    assert patients_of(images, r"person\d+")[0].tolist() == ["person12", "person3"]


def test_images_without_a_match_are_patients_of_their_own() -> None:
    images = pd.Series(["person12_1.jpeg", "IM-0115.jpeg", None], dtype="str")
    found, (note,) = patients_of(images, r"person(\d+)")
    assert found.fillna("").tolist() == ["12", "IM-0115.jpeg", ""]
    assert "matches 1 of 2 images; each other one, as IM-0115.jpeg, counts as a patient" in note


@pytest.mark.parametrize(
    ("pattern", "message"), [("person(", "no regular expression"), (r"x(\d+)", "matches no image")]
)
def test_a_wrong_pattern_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        patients_of(pd.Series(["a.png"], dtype="str"), pattern)
