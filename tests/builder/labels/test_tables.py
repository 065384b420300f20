"""A table's file as a frame: nothing is guessed, and what cannot be read is named by its line."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.contract import UsageError
from builder.labels.tables import read_csv, shipped_table

Write = Callable[[str], Path]
HEADER = "image,patient,Mass\n"
BAD: dict[str, tuple[str, str]] = {
    "short row": (HEADER + "a,1,0\nb,2\n", "line 3: the row has 2 cells, but the header has 3"),
    "long row": (HEADER + "a.png,1,0\n\nb.png,1,0,7,8\n", "line 4: the row has 5 cells"),
    "all rows long": (HEADER + "a.png,1,0,7\nb.png,1,0,8\n", "line 2: the row has 4 cells"),
    "one of them long": ("image,patient,Mass,\na,1,0,\nb,1,0,8\n", "line 3: the row has 4 cells"),
    "decimal commas": (HEADER + "a.png,1,0,0\n", "separator ',' needs quotes"),
    "open quote": (HEADER + 'a,1,0\nb,"2,1\nc,3,1\n', "line 3: a quotation mark opens"),
    "swallowed rows": (HEADER + 'a,"1,0\nb,2,1\nc,"3,1\n', "line 2: text follows a closing"),
    "two columns of one name": ("image,patient,Mass,Mass\na,1,0,1\n", "'Mass' and 'Mass'"),
    "names as good as one": ("image,patient,Mass, MASS\na,1,0,1\n", "'Mass' and 'MASS'"),
    "header only": (HEADER, "has a header but no row"),
    "blank rows only": (HEADER + ",,\n\n,,\n", "has a header but no row"),
    "no names": (",,\na,1,0\n", "has no names of columns"),
    "missing column": ("image;Mass\na;1\n", "has no column 'patient'; it has image, Mass"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_sentence(write_csv: Write, case: str) -> None:
    text, message = BAD[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_csv(write_csv(text), ("image", "patient"), text=("image", "patient"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"PAR1 and no more"), "not a readable parquet file"),
    ],
    ids=["absent", "folder", "parquet"],
)
def test_an_unreadable_table_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "t.csv"
    spoil(path)
    with pytest.raises(UsageError, match=rf"t\.csv.*{message}") as caught:
        read_csv(path, ())
    assert "\n" not in str(caught.value)


def test_text_stays_as_it_stands(write_csv: Write) -> None:
    number = "313572750430997347502932654319389875966"
    path = write_csv(f"ID,other,day,time,flag\n007,007,2014-01-05,12:30,True\n{number},8,,,FALSE\n")
    frame = read_csv(path, ("id",), text=("id",))
    assert frame["id"].tolist() == ["007", number]
    assert frame["other"].tolist() == [7, 8]
    assert frame["other"].dtype == np.int64
    assert frame["day"].iloc[0] == "2014-01-05"
    assert frame["time"].iloc[0] == "12:30"
    assert frame["flag"].tolist() == ["True", "FALSE"]


def test_only_blank_cells_are_blank(write_csv: Write) -> None:
    frame = read_csv(write_csv("a,b,c,d,e\n1,1.5,NA, x ,\n,nan,None,  ,\n"), ())
    assert frame.isna().to_numpy().tolist() == [
        [False] * 4 + [True],
        [True] + [False] * 2 + [True] * 2,
    ]
    assert frame["b"].tolist() == ["1.5", "nan"]
    assert frame["c"].tolist() == ["NA", "None"]
    assert frame["d"].iloc[0] == "x"


def test_names_are_found_whatever_their_capitals(write_csv: Write) -> None:
    path = write_csv(" Image Index,PATIENT ID ,Sex,Mass\na,1,F,0\n")
    frame = read_csv(path, ("image index",), optional=("SEX", "Age"), text=("Patient ID",))
    assert list(frame.columns) == ["image index", "Patient ID", "SEX", "Mass"]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (HEADER.strip() + ",", "a,1,0,\nb,2,1,\n"),
        (HEADER.strip() + ",,", "a,1,0\nb,2,1\n"),
        (HEADER.strip(), "a,1,0,\nb,2,1,\n"),
        (HEADER.strip(), "a,1,0\nb,2,1,,\n"),
        (HEADER.strip() + ",", "a,1,0,\n\nb,2,1\n,,,\n"),
        ("," + HEADER.strip(), "0,a,1,0\n1,b,2,1\n"),
        ("Unnamed: 0.1,Unnamed: 0," + HEADER.strip(), "0,0,a,1,0\n1,1,b,2,1\n"),
    ],
    ids=["both", "header", "rows", "one row", "mixed", "row numbers", "row numbers twice"],
)
def test_columns_without_names_are_left_out(write_csv: Write, header: str, rows: str) -> None:
    frame = read_csv(write_csv(f"{header}\n{rows}"), ("image",), text=("image",))
    assert frame.to_dict("list") == {"image": ["a", "b"], "patient": [1, 2], "Mass": [0, 1]}
    assert frame.index.tolist() == [0, 1]


def test_other_columns_may_be_left_out(write_csv: Write) -> None:
    path = write_csv("image,note,Mass\na.png,one,1\n,two,\n,,\nb.png,,0\n")
    frame = read_csv(path, ("image", "Mass"), others=False)
    assert frame["image"].fillna("").tolist() == ["a.png", "", "b.png"]  # row 2 is not blank
    path.write_text("image,note,Mass\na.png,one,1\nb.png,,0\n")
    frame = read_csv(path, ("image",), optional=("Mass", "view"), others=False)
    assert frame.to_dict("list") == {"image": ["a.png", "b.png"], "Mass": [1, 0]}
    with pytest.raises(UsageError, match="no column 'patient'; it has image, note, Mass"):
        read_csv(path, ("patient",), others=False)
    path.write_text("image,note,Mass\na.png,one,1\nb.png,0\n")
    with pytest.raises(UsageError, match="line 3: the row has 2 cells"):
        read_csv(path, ("image",), others=False)


def test_a_nameless_column_with_cells_is_not_lost(write_csv: Write) -> None:
    frame = read_csv(write_csv("image,,Mass\na,x,0\n"), ())
    assert list(frame.columns) == ["image", "column 2", "Mass"]


def test_parquet_reads_as_csv_does(tmp_path: Path) -> None:
    words = pa.array(["PA", None, "ap"]).dictionary_encode()
    table = pa.table(
        {
            "Image": pa.array(["a", "b", "c"], pa.large_string()),
            "patient": pa.array([1, 2, 3], pa.uint8()),
            "view": words,
            "Mass": [1.0, float("nan"), -1.0],
            "Edema": pa.array([1, 0, None], pa.int8()),
            "flag": [True, False, None],
            "vector": [[1.0], [2.0], None],
            "__index_level_0__": [5, 6, 7],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_csv(tmp_path / "t.parquet", ("image",), text=("image", "patient"))
    assert frame["image"].tolist() == ["a", "b", "c"]
    assert frame["patient"].tolist() == ["1", "2", "3"]
    assert frame["view"].fillna("").tolist() == ["PA", "", "ap"]
    assert frame["Mass"].fillna(9).tolist() == [1, 9, -1]
    assert frame["Edema"].fillna(9).tolist() == [1, 0, 9]
    assert frame["flag"].fillna("").tolist() == ["true", "false", ""]
    assert frame["vector"].iloc[0] == "[1.0]"
    assert "__index_level_0__" not in frame
    with pytest.raises(UsageError, match="has no column 'patient id'; it has Image"):
        read_csv(tmp_path / "t.parquet", ("patient id",))


def test_the_shipped_tables_are_found() -> None:
    frame = read_csv(shipped_table("Data_Entry_2017_v2020.csv.gz"), ("Image Index", "Patient ID"))
    assert len(frame) == 112_120
    with pytest.raises(UsageError, match=r"absent\.csv is not installed: give the table by"):
        shipped_table("absent.csv")


CELLS = st.text("aZ07 äöüßé,;\t|\"'\n.-/\\#", max_size=6).map(str.strip)
ROWS = st.lists(st.tuples(CELLS, CELLS, st.sampled_from(["0", "1", "-1", ""])), min_size=1)


@given(
    rows=ROWS,
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoted=st.booleans(),
    trailing=st.booleans(),
    said=st.booleans(),
)
def test_a_table_reads_the_same_in_any_dialect(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    separator: str,
    encoding: str,
    end: str,
    quoted: bool,
    trailing: bool,
    said: bool,
) -> None:
    out = io.StringIO(newline="")
    rows = [("x", "y", "1"), *rows]
    quoting = (
        csv.QUOTE_ALL
        if quoted or any("\n" in cell for row in rows for cell in row)
        else csv.QUOTE_MINIMAL
    )
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    for row in [("image", "Größe", "Mass"), *rows]:
        writer.writerow([*row, ""] if trailing else row)
    path = tmp_path_factory.mktemp("dialect") / "t.csv"
    text = f"sep={separator}{end}" * said + out.getvalue()
    path.write_bytes(text.encode(encoding))
    frame = read_csv(path, ("image", "größe"), text=("image", "größe", "mass"))
    expected = pd.DataFrame([row for row in rows if any(row)]).astype("str")
    assert frame.fillna("").to_numpy().tolist() == expected.to_numpy().tolist()


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary())]
)
def test_bytes_of_parquet_that_are_text_are_read_as_text(tmp_path: Path, kind: pa.DataType) -> None:
    def table(*images: bytes | None) -> Path:
        content = pa.binary() if pa.types.is_dictionary(kind) else kind
        column = pa.array(images, content).cast(kind)
        pq.write_table(pa.table({"image": column, "Mass": [1, 0, 0]}), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    frame = read_csv(table(b"0000.png", "ü.png".encode(), None), ("image",), text=("image",))
    assert frame["image"].fillna("").tolist() == ["0000.png", "ü.png", ""]
    path = table(b"0000.png", "ü.png".encode("latin-1"), None)
    with pytest.raises(UsageError, match=r"its column 'image' has bytes that are no UTF-8 text\.$"):
        read_csv(path, ("image",))
    assert read_csv(path, ("Mass",))["Mass"].tolist() == [1, 0, 0]
