"""View, sex and age of a table's rows as the few words that may be sealed; "" is unknown."""

import numpy as np
import pandas as pd

from builder.contract import GROUPS

FRONTAL = ("frontal", "pa", "ap")
VIEWS = {name: name for name in FRONTAL} | dict.fromkeys(("lateral", "ll", "lat", "l"), "lateral")
SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
MAX_AGE = 110  # years; a higher age is a slip: NIH's first release has patients of 414
_BAND_EDGES = (0, 20, 40, 60, 80, np.inf)  # years; the names of the bands are in GROUPS


def text_cells(frame: pd.DataFrame, *names: str) -> pd.Series:
    """The first of the columns that the table has, as lower-case text; blank if it has none."""
    for name in names:
        if name in frame:
            return frame[name].astype("string").str.strip().str.lower()
    return pd.Series(pd.NA, index=frame.index, dtype="string")


def group_words(frame: pd.DataFrame, words: dict[str, str], *names: str) -> pd.Series:
    """The word that `words` has for each cell of the first of the columns; "" where it has none.

    `words` is VIEWS or SEXES.
    """
    return text_cells(frame, *names).map(words).astype("string").fillna("")


def parse_ages(cells: pd.Series) -> pd.Series:
    """float64 years from the text of `text_cells`; NaN unless it is an age of 0 to MAX_AGE.

    Some copies of NIH's table write 058Y.
    """
    years = pd.to_numeric(cells.str.removesuffix("y"), errors="coerce")
    return years.astype("float64").where(lambda age: age.between(0, MAX_AGE))


def age_bands(years: pd.Series) -> pd.Series:
    """The band of each age, "" for NaN; the only trace of an age that leaves this file."""
    bands = pd.cut(years, list(_BAND_EDGES), right=False, labels=list(GROUPS["age"]))
    return bands.astype("string").fillna("")
