"""Patients' ids: whence they come, and that one person has one spelling."""

import re
import unicodedata
from pathlib import Path

import pandas as pd

from builder.contract import UsageError, printable
from builder.labels.cells import place, refuse_cells, shown

_NO_ID = {
    "",  # where all of its signs are unseen
    *("nan", "none", "null", "n/a", "na", "<na>", "nat", "nil", "unknown", "missing", "undefined"),
    *("inf", "-inf", "+inf", "infinity", "-infinity", "-", "--", "?", "."),
    *("#n/a", "#na", "#value!", "#ref!", "#name?", "#num!", "#div/0!", "#null!"),
}
_CUT_OFF = re.compile(r"[+-]?\d+(?:[.,]\d+)?e\+\d+")  # what Excel and pandas make of 39 digits
_ZEROS = re.compile(r"0(?<![0-9]0)0*(?=[0-9])")  # it begins with a sign that is quickly found
_POINT = re.compile(r"(\d+)[.,]0+")


def check_patients(patients: pd.Series, path: Path, column: str) -> None:
    """Raise UsageError where an id is no id, or two ids are spellings of one.

    Ids that differ only in leading zeros of a number, capitals, blanks, a `.0`, signs that are not
    seen, the width of letters, or how a letter and its accent are stored are one person's.
    `patients` is str with the table's row numbers as index, `path` and `column` say where it comes
    from.
    """
    spellings: dict[str, str] = {}
    for patient in patients.unique().tolist():  # a list is quicker to walk
        word = _visible(patient).casefold()
        if word in _NO_ID:
            refuse_cells(patients == patient, path, column, "is no patient's id", patients)
        if "e+" in word and _CUT_OFF.fullmatch(word):
            why = "is a long number that a spreadsheet cut short: export the table again as text"
            refuse_cells(patients == patient, path, column, why, patients)
        other = spellings.setdefault(_one_spelling(word), patient)
        if other != patient:
            first = patients.index[int((patients == other).argmax())]
            where = place(path, int(first), column)
            why = f"and {shown(other)} in {where} look like one patient: write an id in one way"
            refuse_cells(patients == patient, path, column, why + _unseen(patient, other), patients)


def patients_of(images: pd.Series, pattern: str) -> tuple[pd.Series, tuple[str, ...]]:
    """The patient that a regular expression finds in each image's path, and notes for the user.

    It is group 1, or the whole match without a group; an image without a match is a patient of its
    own. Raises UsageError for a wrong expression, or one that no image matches.
    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise UsageError(
            f"--patient-pattern {printable(pattern)!r} is no regular expression: {error}."
        ) from None
    matches = images.map(search, na_action="ignore")
    group = 1 if re.compile(pattern).groups else 0
    found = matches.map(lambda match: match[group] or None, na_action="ignore").astype("str")
    alone = found.isna() & images.notna()
    if not found.notna().any():
        raise UsageError(
            f"--patient-pattern {printable(pattern)!r} matches no image; the first is "
            f"{printable(str(images.iloc[0]), 200)}."
        )
    if not alone.any():
        return found, ()
    first = printable(images[alone].iloc[0], 200)
    note = (
        f"--patient-pattern matches {found.notna().sum():,} of {images.notna().sum():,} images; "
        f"each other one, as {first}, counts as a patient of its own."
    )
    return found.where(~alone, images), (note,)


def _visible(patient: str) -> str:
    """The id with each sign in one form, ü or a full-width digit, and without those not seen."""
    if patient.isascii():
        return patient
    word = unicodedata.normalize("NFKC", patient)
    return "".join(sign for sign in word if unicodedata.category(sign) != "Cf")


def _one_spelling(word: str) -> str:
    """The case-folded id as all of its spellings have it; hundreds of thousands are asked for."""
    word = "".join(word.split())
    if ("." in word or "," in word) and (point := _POINT.fullmatch(word)):
        word = point[1]
    return _ZEROS.sub("", word) if "0" in word else word


def _unseen(one: str, other: str) -> str:
    """What to say of two ids that look the same on the screen."""
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    return ", as their accents are stored in two" if same else ""
