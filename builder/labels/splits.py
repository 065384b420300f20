"""The words by which tables and folders call the parts of an official split."""

import pandas as pd

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_words(cells: pd.Series) -> pd.Series:
    """train, val or test for each cell, whatever its capitals; "" where it is another word."""
    known = {cell: SPLIT_WORDS.get(cell.casefold().strip(), "") for cell in cells.dropna().unique()}
    return cells.map(known).astype("string").fillna("")
