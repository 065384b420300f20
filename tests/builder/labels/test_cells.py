"""What a cell holds, and where it stands."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract import UsageError
from builder.labels.cells import cell_message, numbers, place, refuse_cells, shown
from builder.labels.tables import read_csv

Write = Callable[[str], Path]


def test_numbers_may_have_decimal_commas_and_words_are_none() -> None:
    words = pd.Series(["1", "1.0", "0,0", "-1", " 1 ", None, "yes", "True", ""], dtype="str")
    assert numbers(words).fillna(9).tolist() == [1, 1, 0, -1, 1, 9, 9, 9, 9]
    assert numbers(pd.Series([1, 0])).dtype == "float64"


def test_the_line_is_that_of_an_editor(write_csv: Write) -> None:
    path = write_csv('sep=;\n\nimage;note\na;1\n\n;\nb;"2\n2"\nc;bad\n')
    frame = read_csv(path, ("image",))
    bad = frame["note"] == "bad"
    with pytest.raises(UsageError, match=r"line 9, column 'note': 'bad' is odd\.$"):
        refuse_cells(bad, path, "note", "is odd", frame["note"])
    later = frame[frame["image"] == "c"]  # rows that were left out do not shift the others
    with pytest.raises(UsageError, match="line 9"):
        refuse_cells(later["note"] == "bad", path, "note", "is odd", later["note"])
    refuse_cells(bad & False, path, "note", "is odd", frame["note"])


def test_rows_of_blanks_do_not_shift_the_lines(write_csv: Write) -> None:
    path = write_csv('image,patient,Mass\na.png,p1,1\n , , \n\t,"  ",\nb.png,p2,x\n')
    frame = read_csv(path, ("image",))
    with pytest.raises(UsageError, match=r"line 5, column 'Mass': 'x' is odd\.$"):
        refuse_cells(frame["Mass"] == "x", path, "Mass", "is odd", frame["Mass"])


def test_parquet_and_folders_have_rows_and_images(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a", "b"]}), tmp_path / "t.parquet")
    assert place(tmp_path / "t.parquet", 1, "image") == "row 2"
    assert place(tmp_path, 1, "image") == "image 2"


def test_a_cell_is_shown_without_what_acts_on_a_terminal(write_csv: Write) -> None:
    path = write_csv("image\na\n")
    assert shown("\x1b[2Ja") == r"'\x1b[2Ja'"
    assert len(shown("a" * 999)) < 99
    assert shown(None) == "the cell"
    assert shown(float("nan")) == "the cell"
    assert "\x1b" not in cell_message(path, 0, "\x1b[2J", "is odd")


def test_a_windows_path_is_shown_as_it_stands_in_the_table() -> None:
    assert shown(r"D:\scans\x.png") == r"'D:\scans\x.png'"
