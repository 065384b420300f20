"""A table of the sources of images, such as hospitals or scanners → the source of each image."""

from pathlib import Path

from builder.contract import UsageError, printable
from builder.labels.tables import read_csv

_COLUMNS = ("key", "source")
_ADVICE = "--sources takes a CSV file with the columns key and source"


def read_source_table(path: Path) -> dict[str, str]:
    """The source of each image that the table names, by the image's key in an index.

    The table may be of any dialect that label tables have. Rows with an empty source are left out.
    UsageError where it is no such table, or gives an image two sources.
    """
    frame = read_csv(path, _COLUMNS, text=_COLUMNS, others=False, advice=_ADVICE)
    named = frame[[*_COLUMNS]].dropna().drop_duplicates()
    again = named["key"].duplicated()
    if again.any():
        raise UsageError(f"{path} gives {printable(named['key'][again].iloc[0])} two sources.")
    return {
        key: printable(source) for key, source in zip(named["key"], named["source"], strict=True)
    }
