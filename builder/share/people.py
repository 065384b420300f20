"""Which columns of a table say who a patient is → TableFacts, People.

No reader of a dataset is asked, as any table of patients may be given, but the dataset that is
shared knows how its own label table calls them.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.contract import Manifest, in_short, printable
from builder.labels.dialect import plain

_WHO = (
    r"patient(?:en|in|innen|s)?|pat|pts?|paciente?s?|pazient[ei]|subj(?:ect)?s?|persons?|"
    r"proband(?:en|in)?|participants?|cases?|fall|mrn"
)
_NUMBER = r"ids?|uid|no|nr|num|numbers?|nummer|numero|code|key|identifier|kennung"
_FILE = r"(?:medicalrecord|hospital|chart|nhs)(?:no|nr|numbers?|nummer)"  # not the hospital's name
_NAME = (
    r"(?:full|last|first|family|given|middle|maiden|birth|sur|nach|vor|familien|geburts)?names?|"
    r"nom|prenom|nombre|apellidos?|nome|cognome|sobrenome|initials|initialen"
)
_ALONE = r"patient(?:en|in|innen|s)?|pat|paciente?s?|pazient[ei]|subjects?|persons?|cases?|mrn|ssn"
_PERSON = re.compile(
    rf"{_ALONE}|{_NAME}|{_FILE}|(?:{_WHO})(?:{_NUMBER}|{_NAME})|"
    rf"(?:id|{_NAME})(?:of|de|du|del)?(?:{_WHO})"
)
_IN_THE_NAME = {  # what an image's name says of its patient, where a dataset's table does not
    **dict.fromkeys(("chexpert", "demo"), ("Path", r"patient(\d+)")),
    "nih": ("Image Index", r"(\d{8})_\d{3}"),
    "vindr": ("image_id", None),  # nothing
}
_ANY_NUMBER = r"(\d+)"
_SHOWN = 20  # names of columns in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What a sealed dataset tells of its label table."""

    patient: str = "patient"  # the column of patients, if it has one
    image: str | None = None  # the column of images, where these are all that tells of patients
    number: str | None = None  # a pattern whose group 1 is a patient's number in an image's name
    labels: frozenset[str] = frozenset()  # columns of these names say nothing of who it is

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that the table may have."""
        return (self.patient, *filter(None, [self.image]), *self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Where the rows of one table say who a patient is."""

    columns: tuple[int, ...]  # names and numbers of patients
    image: int | None = None  # names of images, in which `number` finds those of patients
    number: "re.Pattern[str] | None" = None

    def of(self, row: Sequence[str]) -> Iterator[str]:
        """The names and numbers of the row's patient."""
        for column in self.columns:
            if column < len(row):
                yield row[column].strip()
        if self.number and self.image is not None and self.image < len(row):
            yield from self.number.findall(row[self.image])


def told_by(manifest: Manifest) -> TableFacts:
    """What the dataset tells of the label table that it was built from."""
    table = manifest.recipe.get("table")
    options = table if isinstance(table, dict) else {}
    image, number = _IN_THE_NAME.get(manifest.dataset, (None, None))
    if options.get("patient_pattern"):  # it may be a stranger's, so it is not run
        image, number = str(options.get("image_column") or "image"), _ANY_NUMBER
    return TableFacts(
        patient=str(options.get("patient_column") or "patient"),
        image=image,
        number=number,
        labels=frozenset(manifest.pathologies),
    )


def people_in(header: Sequence[str], told: TableFacts) -> People | None:
    """Where a table with this header says who a patient is; None where nothing is known to."""
    labels = {plain(name) for name in told.labels} - {plain(told.patient)}
    columns = [
        column
        for column, name in enumerate(header)
        if plain(name) == plain(told.patient) or (plain(name) not in labels and is_person(name))
    ]
    image = told.image and plain(told.image)
    place = next((column for column, name in enumerate(header) if plain(name) == image), None)
    if not columns and place is None:
        return None
    number = None if told.number is None else re.compile(told.number)
    return People(columns=tuple(columns), image=place, number=number)


def is_person(name: str) -> bool:
    """Whether a column of this name holds names or numbers of persons: PatNr, first_name, case."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return bool(_PERSON.fullmatch("".join(filter(str.isalpha, letters))))


def no_people(where: str, header: Sequence[str]) -> str:
    """The sentence for a table in which no column is known to say who a patient is."""
    few = in_short(filter(None, header), _SHOWN, 600)
    return (
        f"{where} has no column that is known to name patients, so none of them could be looked "
        f"for; it has {few}: call the column of patients 'patient', or leave this table out "
        "if it names none."
    )


def taken(where: str, header: Sequence[str], people: People) -> str:
    """The note that says which columns were taken for those of patients."""
    columns = people.columns if people.image is None else (*people.columns, people.image)
    named = printable(", ".join(repr(header[column]) for column in columns), 600)
    return f"Columns of patients in {where}: {named}; if another one names them, call it 'name'."
