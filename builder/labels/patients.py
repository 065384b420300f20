"""Patients' ids: one person has one spelling."""

import re
from pathlib import Path

import pandas as pd

from builder.contract import UsageError
from builder.labels.cells import cell_message, place, shown

_NO_ID = {
    *("nan", "none", "null", "n/a", "na", "<na>", "nat", "nil", "unknown", "missing", "undefined"),
    *("inf", "-inf", "+inf", "infinity", "-infinity", "-", "--", "?", "."),
    *("#n/a", "#na", "#value!", "#ref!", "#name?", "#num!", "#div/0!", "#null!"),
}
_CUT_OFF = re.compile(r"[+-]?\d+(?:[.,]\d+)?e\+\d+")  # what Excel and pandas make of 39 digits
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_POINT = re.compile(r"(\d+)[.,]0+")


def check_patients(patients: pd.Series, path: Path, column: str) -> None:
    """Raise UsageError where an id is no id, or two ids are spellings of one.

    Ids that differ only in leading zeros, capitals, blanks or a `.0` are one person's. `patients`
    is str with the table's row numbers as index, `path` and `column` say where it comes from.
    """
    spellings: dict[str, str] = {}
    for patient in patients.unique():
        word = patient.casefold()
        if word in _NO_ID:
            _refuse(patients, patient, path, column, "is not a patient")
        if _CUT_OFF.fullmatch(word):
            why = "is a long number that a spreadsheet cut off: export the table again as text"
            _refuse(patients, patient, path, column, why)
        other = spellings.setdefault(_one_spelling(word), patient)
        if other != patient:
            line = place(path, _first(patients, other), column)
            why = f"and {shown(other)} in {line} look like one patient: write one id in one way"
            _refuse(patients, patient, path, column, why)


def _one_spelling(word: str) -> str:
    word = "".join(word.split())
    if point := _POINT.fullmatch(word):
        word = point[1]
    return _ZEROS.sub("", word)


def _refuse(patients: pd.Series, patient: str, path: Path, column: str, why: str) -> None:
    what = f"{shown(patient)} {why}"
    raise UsageError(cell_message(path, _first(patients, patient), column, what))


def _first(patients: pd.Series, patient: str) -> int:
    return int(patients.index[(patients == patient).argmax()])
