"""View, sex and age of a table's rows as the few words that may be sealed; "" is unknown."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from builder.contract import GROUPS, printable

FRONTAL = ("frontal", "pa", "ap")
# What datasets and departments write, lower case with single spaces; "" is known, but neither.
VIEWS = {
    **dict.fromkeys(
        (
            *("pa", "p.a.", "p/a", "posteroanterior", "postero anterior", "posterior anterior"),
            *("pa erect", "erect pa", "pa upright", "pa chest", "chest pa", "pa view"),
            *("pa lld", "pa rld"),  # decubitus: the patient lies on the side
        ),
        "pa",
    ),
    **dict.fromkeys(
        (
            *("ap", "a.p.", "a/p", "anteroposterior", "antero posterior", "anterior posterior"),
            *("ap erect", "erect ap", "ap upright", "ap chest", "chest ap", "ap view"),
            *("ap supine", "supine ap", "ap horizontal", "ap sitting", "ap semi erect"),
            *("ap portable", "portable ap", "ap mobile", "ap lld", "ap rld"),
            *("ap axial", "ap lordotic"),  # the beam is tilted, the picture is frontal
        ),
        "ap",
    ),
    **dict.fromkeys(("frontal", "front", "frontal view", "lordotic"), "frontal"),
    **dict.fromkeys(
        (
            *("lateral", "lat", "l", "ll", "rl", "left lateral", "right lateral", "lateral view"),
            *("l lateral", "r lateral", "lt lateral", "rt lateral", "lat erect", "lateral erect"),
            *("erect lateral", "lateral upright", "xtable lateral", "cross table lateral"),
        ),
        "lateral",
    ),
    **dict.fromkeys(
        (
            *("lao", "rao", "lpo", "rpo", "oblique", "swimmers", "costal"),
            *("unknown", "unk", "other", "none", "n/a", "na", "nan", "null", "?", "-", "--"),
        ),
        "",
    ),
}
SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
_SAYS_UNKNOWN = {word for word, view in VIEWS.items() if not view}
MAX_AGE = 110  # years; a higher age is a slip: NIH's first release has patients of 414
_BAND_EDGES = (0, 20, 40, 60, 80, np.inf)  # years; the names of the bands are in GROUPS
_AGE = re.compile(
    r"(?:>=?|≥|over)?\s*(\d+(?:[.,]\d+)?)\s*(y|yrs?|years?|m|months?|w|weeks?|d|days?)?"
    r"(?:\s+old)?\s*(?:\+|or more|or older|or over|and over|and older|and above)?"
)
_PER_YEAR = {"m": 12, "w": 52.18, "d": 365.25}
_SHOWN = 5  # unknown words in a note


def text_cells(frame: pd.DataFrame, *names: str) -> pd.Series:
    """The first of the columns that the table has, as lower-case text; blank if it has none.

    Names of columns are found whatever their capitals.
    """
    columns = {str(column).casefold(): column for column in frame.columns}
    for name in names:
        if (column := columns.get(name.casefold())) is not None:
            return frame[column].astype("string").str.strip().str.lower()
    return pd.Series(pd.NA, index=frame.index, dtype="string")


def group_words(frame: pd.DataFrame, words: dict[str, str], *names: str) -> pd.Series:
    """The word that `words` has for each cell of the first of the columns; "" where it has none.

    `words` is VIEWS or SEXES.
    """
    cells = text_cells(frame, *names)
    known = {cell: words.get(_spaced(cell), "") for cell in cells.dropna().unique()}
    return cells.map(known).astype("string").fillna("")


def demographics(
    frame: pd.DataFrame, *, view: str, sex: tuple[str, ...], age: str
) -> dict[str, pd.Series]:
    """The columns view, sex and age of a label table, from the columns of `frame` that are named.

    The sex is that of the first of its columns that the frame has. What is not there is unknown.
    """
    return {
        "view": group_words(frame, VIEWS, view),
        "sex": group_words(frame, SEXES, *sex),
        "age": age_bands(parse_ages(text_cells(frame, age))),
    }


def view_notes(frame: pd.DataFrame, *names: str) -> tuple[str, ...]:
    """One sentence about all words of the views' column that no list has, or nothing."""
    return _note("view", text_cells(frame, *names), lambda word: _spaced(word) in VIEWS)


def sex_and_age_notes(frame: pd.DataFrame) -> tuple[str, ...]:
    """One sentence each about the cells of columns sex and age that were not understood."""
    return (
        *_note("sex", text_cells(frame, "sex"), lambda word: word in {*SEXES, *_SAYS_UNKNOWN}),
        *_note(
            "age",
            text_cells(frame, "age"),
            lambda word: word in _SAYS_UNKNOWN or 0 <= _years(word) <= MAX_AGE,
        ),
    )


def _note(what: str, cells: pd.Series, known: Callable[[str], bool]) -> tuple[str, ...]:
    """One sentence about all words that are not known, or nothing."""
    counts = cells.value_counts()
    unknown = {word: int(n) for word, n in counts.items() if word and not known(str(word))}
    if not unknown:
        return ()
    few = ", ".join(
        f"{printable(repr(word), 40)} ({n} {'rows' if n > 1 else 'row'})"
        for word, n in [*unknown.items()][:_SHOWN]
    )
    more = f" and {len(unknown) - _SHOWN} other words" if len(unknown) > _SHOWN else ""
    return (f"No known {what}, so it counts as unknown: {few}{more}.",)


def _spaced(word: str) -> str:
    """The word with single spaces for underscores and hyphens."""
    return " ".join(re.sub(r"[_-]", " ", word).split()) or word


def parse_ages(cells: pd.Series) -> pd.Series:
    """float64 years from the text of `text_cells`; NaN unless it is an age of 0 to MAX_AGE.

    Tables write 58, 058Y, 006M, 63,5, `85 or more` and 90+, too.
    """
    years = cells.map({cell: _years(cell) for cell in cells.dropna().unique()})
    return years.astype("float64").where(lambda age: age.between(0, MAX_AGE))


def _years(cell: str) -> float:
    if not (match := _AGE.fullmatch(cell)):
        return np.nan
    unit = (match[2] or "y")[0]
    return float(match[1].replace(",", ".")) / _PER_YEAR.get(unit, 1)


def age_bands(years: pd.Series) -> pd.Series:
    """The band of each age, "" for NaN; the only trace of an age that leaves this file."""
    bands = pd.cut(years, list(_BAND_EDGES), right=False, labels=list(GROUPS["age"]))
    return bands.astype("string").fillna("")
