"""View, sex and age of a table's rows as the few words that may be sealed; "" is unknown."""

import numpy as np
import pandas as pd

from builder.contract import GROUPS

FRONTAL = ("frontal", "pa", "ap")
VIEWS = {name: name for name in FRONTAL} | dict.fromkeys(("lateral", "ll", "lat", "l"), "lateral")
SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
AGE_BANDS = (0, 20, 40, 60, 80, np.inf)  # years; their names are in GROUPS
OLDEST = 110  # years; more is a slip: NIH's first release has patients of 414


def cells(frame: pd.DataFrame, *names: str) -> pd.Series:
    """The first of the columns that the table has, as lower-case text; blank if it has none."""
    for name in names:
        if name in frame:
            return frame[name].astype("string").str.strip().str.lower()
    return pd.Series(pd.NA, index=frame.index, dtype="string")


def known(frame: pd.DataFrame, words: dict[str, str], *names: str) -> pd.Series:
    """The group's word for each cell of the column, "" where `words` has none."""
    return cells(frame, *names).map(words).astype("string").fillna("")


def years_of(cells: pd.Series) -> pd.Series:
    """float64 ages; NaN where the cell is none. Some copies of NIH's table say 058Y."""
    years = pd.to_numeric(cells.str.removesuffix("y"), errors="coerce")
    return years.astype("float64").where(lambda age: age.between(0, OLDEST))


def bands(years: pd.Series) -> pd.Series:
    """The band of each age, "" where it is unknown; nothing else of an age leaves this file."""
    bands = pd.cut(years, list(AGE_BANDS), right=False, labels=list(GROUPS["age"]))
    return bands.astype("string").fillna("")
