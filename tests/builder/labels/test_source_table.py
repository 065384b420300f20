from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.labels.source_table import read_source_table


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sources.csv"
    path.write_text(text)
    return path


def test_a_table_of_sources_is_read(tmp_path: Path) -> None:
    text = "source,key,more\nBern,a,1\n,b,2\nBasel ,c,3\nBern,real-x,4\n"
    found = {"a": "Bern", "c": "Basel", "real-x": "Bern"}
    assert read_source_table(table(tmp_path, text)) == found
    marked = table(tmp_path, "\ufeffkey,source\na,Bern\n")
    assert read_source_table(marked) == {"a": "Bern"}
    blank = table(tmp_path, "key,source,more\na,Bern,\na,Bern,5\nb,,\n")
    assert read_source_table(blank) == {"a": "Bern"}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_it_may_be_of_any_dialect(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "sources.csv"
    path.write_bytes("Key;SOURCE\r\na;Zürich\r\nb;Bern, Süd\r\n".encode(encoding))
    assert read_source_table(path) == {"a": "Zürich", "b": "Bern, Süd"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("key,site\na,b\n", "columns key and source"),
        ("", "is empty"),
        ("key,source\nreal-x,Bern\nreal-x,Basel\n", "gives real-x two sources"),
        ("key,source\nreal-x\n", "line 2: the row has 1 cells"),
    ],
)
def test_what_is_no_table_of_sources_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_source_table(table(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes("key,source\nü,".encode() + b"\xff\n")
    (tmp_path / "binary.csv").write_bytes(b"key,source\na\0,b\n")
    for name, reason in (
        ("missing.csv", r"Cannot read .*: --sources takes a CSV file with the columns key and"),
        ("bytes.csv", "neither UTF-8 nor Windows-1252"),
        ("binary.csv", "not a text file"),
    ):
        with pytest.raises(UsageError, match=reason):
            read_source_table(tmp_path / name)
