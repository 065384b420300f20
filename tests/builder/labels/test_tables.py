"""Files that are no readable CSV are refused; only the empty cell is blank."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.labels import read_labels

HEADER = "image,patient,Mass\n"
BAD: dict[str, tuple[str, str]] = {
    "trailing commas": (HEADER + "a,1,0,\nb,2,1,\n", "Expected 3 columns, got 4"),
    "short row": (HEADER + "a,1,0\nb,2\n", "Expected 3 columns, got 2"),
    "two columns of one name": ("image,patient,Mass,Mass\na,1,0,1\n", "two columns of one name"),
    "NaN is a word": (HEADER + "a.png,1,NaN\n", r"column 'Mass': 'NaN' is not a number"),
    "header only": (HEADER, "no row"),
    "empty": ("", "is empty"),
    "ragged": (HEADER + "a.png,1,0\nb.png,1,0,7,8\n", "not a readable CSV"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_sentence(write_csv: Callable[[str], Path], case: str) -> None:
    text, message = BAD[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_labels("table", labels=write_csv(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(bytes(range(256)) * 9),
    ],
    ids=["absent", "folder", "binary"],
)
def test_an_unreadable_table_is_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "t.csv"
    spoil(path)
    with pytest.raises(UsageError, match=r"t\.csv"):
        read_labels("table", labels=path)


def test_a_truncated_gzip_is_refused(tmp_path: Path, clinic: Path) -> None:
    whole = gzip.compress(clinic.read_bytes())
    path = tmp_path / "t.csv.gz"
    path.write_bytes(whole)
    assert len(read_labels("table", labels=path)) == 60
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"t\.csv\.gz"):
        read_labels("table", labels=path)


def test_names_that_look_like_numbers_stay_text(write_csv: Callable[[str], Path]) -> None:
    table = read_labels("table", labels=write_csv(HEADER + "007,001,0\n7,1,1\n"))
    assert table.rows["image"].tolist() == ["007", "7"]
    assert table.rows["patient"].tolist() == ["001", "1"]
