"""Every cell of a label table is good, or the first bad one is named."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import read_labels
from builder.labels.label_table import fingerprint, make_label_table

HEADER = "image,patient,Mass\n"

BAD: dict[str, tuple[str, str]] = {
    "value": ("a.png,1,0\nb.png,1,2\n", r"line 3, column 'Mass': 2 is not 1, 0"),
    "word": ("a.png,1,yes\n", r"line 2, column 'Mass': 'yes'"),
    "word after numbers": ("a,1,1\nb,2,0\nc,3,NA\n", r"line 4, column 'Mass': 'NA'"),
    "padded patient": ("a,  ,0\n", "column 'patient'.*blank"),
    "NaN": ("a.png,1,NaN\n", r"line 2, column 'Mass': 'NaN' is not 1, 0, -1 or blank"),
    "true": ("a.png,1,True\n", r"line 2, column 'Mass': 'True' is not 1, 0, -1 or blank"),
    "half": ("a.png,1,0.5\n", r"line 2, column 'Mass': 0.5 is not 1, 0, -1 or blank"),
    "duplicate": (
        "a.png,1,0\n\na.png,2,1\n",
        r"line 4, column 'image': 'a.png' appears twice, first in line 2",
    ),
    "duplicate by path": ("a/b.png,1,0\n.\\a\\b.png,1,0\n", "line 3.*'a/b.png' appears twice"),
    "two spellings": ("a,1,0\nb,01,0\n", "line 3.*'01' and '1' in line 2 look like one patient"),
    "no patient": ("a.png,1,0\nb.png,,1\n", r"line 3, column 'patient'.*blank"),
    "no image": (",1,0\n", r"line 2, column 'image'.*blank"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_cell_is_refused_in_one_sentence(write_csv: Callable[[str], Path], case: str) -> None:
    rows, message = BAD[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_labels("table", labels=write_csv(HEADER + rows))
    assert "\n" not in str(caught.value)


def test_blank_labels_are_not_mentioned_hence_absent(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("image,patient,Mass\na,1,1\nb,2,\nc,3,-1\n")
    table = read_labels("table", labels=path, uncertain="mask")
    assert table.labels[:, 0].tolist() == [1, 0, -1]
    assert len(table) == 3


@pytest.mark.parametrize(
    "rows",
    ["a,1,1.0\nb,2,0.0\nc,3,-1.0\n", 'a,1,"1"\nb,2,"0,0"\nc,3,"-1,0"\n', "a,1, 1\nb,2, \nc,3,-1\n"],
)
def test_labels_as_programs_write_them(write_csv: Callable[[str], Path], rows: str) -> None:
    table = read_labels("table", labels=write_csv(HEADER + rows), uncertain="mask")
    assert table.labels[:, 0].tolist() == [1, 0, -1]


def test_the_salt_follows_the_content_and_is_not_the_sha256(
    write_csv: Callable[[str], Path],
) -> None:
    one = read_labels("table", labels=write_csv("image,patient,Mass\na,1,1\n"))
    other = read_labels("table", labels=write_csv("image,patient,Mass\na,2,1\n"))
    assert one.salt != other.salt
    assert one.salt.hex() != one.sha256


def test_one_table_has_the_sum_of_its_file_and_several_have_one_of_all(tmp_path: Path) -> None:
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_bytes(b"a")
    other.write_bytes(b"b")
    sha256, salt = fingerprint(one)
    assert sha256 == hashlib.sha256(b"a").hexdigest()
    assert salt == hashlib.blake2b(b"a", digest_size=32, person=b"patient salt").digest()
    sums = sha256 + hashlib.sha256(b"b").hexdigest()
    both = fingerprint(one, other)
    assert both[0] == hashlib.sha256(sums.encode()).hexdigest()
    assert len({salt, fingerprint(other)[1], both[1], fingerprint(other, one)[1]}) == 4


def rows_of(**columns: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame(columns).astype("str")


def test_what_a_table_does_not_say_is_unknown(write_csv: Callable[[str], Path]) -> None:
    path, labels = write_csv("image,Mass\na,1\nb,0\n"), pd.DataFrame({"Mass": [1, 0]})
    rows = rows_of(image=["a", "b"], patient=["1", "2"], file=["a", "b"], sex=["male", ""])
    found = make_label_table(dataset="x", path=path, rows=rows, labels=labels, root=None).rows
    assert found["sex"].tolist() == ["male", ""]
    for name in ("view", "age", "split"):
        assert found[name].tolist() == ["", ""]
    assert found["depth"].tolist() == [0, 0]
    assert list(rows.columns) == ["image", "patient", "file", "sex"]


def test_rows_that_were_left_out_do_not_shift_the_lines(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("Path,Mass\na,1\nb,0\nc,2\n")
    rows = rows_of(image=["a", "c"], file=["a", "c"], patient=["1", "2"]).set_axis([0, 2])
    with pytest.raises(UsageError, match="line 4, column 'Mass': 2"):
        make_label_table(
            dataset="x", path=path, rows=rows, labels=pd.DataFrame({"Mass": [1, 2]}), root=None
        )
    table = make_label_table(
        dataset="x", path=path, rows=rows, labels=pd.DataFrame({"Mass": [1, 0]}), root=None
    )
    assert table.rows.index.tolist() == [0, 1]
    assert (table.rows["split"] == "").all()
    assert rows.index.tolist() == [0, 2]


def test_messages_name_the_columns_of_the_table(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("Path,Mass\na,1\nb,0\n")
    labels = pd.DataFrame({"Mass": [1, 0]})
    columns = {"image": "Path", "patient": "Path"}
    for rows, message in (
        (rows_of(image=["a", "b"], file=["a", "b"], patient=["1", None]), "column 'Path': .*blank"),
        (
            rows_of(image=["a", "b"], file=["x", "x"], patient=["1", "2"]),
            "'Path': 'x' appears twice",
        ),
    ):
        with pytest.raises(UsageError, match=rf"line 3, {message}|line 3, column {message}"):
            make_label_table(
                dataset="x", path=path, rows=rows, labels=labels, root=None, columns=columns
            )
    missing = rows_of(image=["a", "b"], file=[None, None], patient=["1", "2"])
    assert (
        make_label_table(dataset="x", path=path, rows=missing, labels=labels, root=None)
        .rows["file"]
        .isna()
        .all()
    )


def test_images_that_are_their_own_patients_may_look_alike(
    write_csv: Callable[[str], Path],
) -> None:
    path = write_csv("image,Mass\nx1,1\nx01,0\n")
    rows = rows_of(image=["x1", "x01"], file=["x1", "x01"], patient=["x1", "x01"])
    labels = pd.DataFrame({"Mass": [1, 0]})
    assert len(make_label_table(dataset="x", path=path, rows=rows, labels=labels, root=None)) == 2
