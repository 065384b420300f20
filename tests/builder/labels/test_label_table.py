"""Every cell of a label table is good, or the first bad one is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.labels import read_labels

BAD: dict[str, tuple[str, str]] = {
    "value": ("a.png,1,0\nb.png,1,2\n", r"row 2 below the header, column 'Mass': 2 is not 1, 0"),
    "word": ("a.png,1,yes\n", r"row 1 below the header, column 'Mass': 'yes'"),
    "word after numbers": ("a,1,1\nb,2,0\nc,3,NA\n", r"row 3 .*column 'Mass': 'NA'"),
    "padded patient": ("a,  ,0\n", "column 'patient'.*blank"),
    "duplicate": ("a.png,1,0\na.png,2,1\n", r"row 2 .*'image': 'a.png' appears twice"),
    "no patient": ("a.png,1,0\nb.png,,1\n", r"row 2 .*column 'patient'.*blank"),
    "no image": (",1,0\n", r"row 1 .*column 'image'.*blank"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_cell_is_refused_in_one_sentence(write_csv: Callable[[str], Path], case: str) -> None:
    rows, message = BAD[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_labels("table", labels=write_csv("image,patient,Mass\n" + rows))
    assert "\n" not in str(caught.value)


def test_blank_labels_are_not_mentioned_hence_absent(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("image,patient,Mass\na,1,1\nb,2,\nc,3,-1\n")
    table = read_labels("table", labels=path, uncertain="mask")
    assert table.labels[:, 0].tolist() == [1, 0, -1]
    assert len(table) == 3


def test_the_salt_follows_the_content_and_is_not_the_sha256(
    write_csv: Callable[[str], Path],
) -> None:
    one = read_labels("table", labels=write_csv("image,patient,Mass\na,1,1\n"))
    other = read_labels("table", labels=write_csv("image,patient,Mass\na,2,1\n"))
    assert one.salt != other.salt
    assert one.salt.hex() != one.sha256
