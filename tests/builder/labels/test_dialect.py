"""Bytes as programs save them: the same text comes out, or the file is named for what it is."""

import bz2
import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.labels import dialect
from builder.labels.dialect import begins_with, plain, read_text, records, well_quoted

TEXT = "image,patient,Größe\nä.png,1,0\nb.png,2,1\n"


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("t.csv"))
    return out.getvalue()


ENCODED: dict[str, bytes] = {
    "utf-8": TEXT.encode(),
    "byte order mark": TEXT.encode("utf-8-sig"),
    "utf-16 little": TEXT.encode("utf-16"),
    "utf-16 big": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "cp1252": TEXT.encode("cp1252"),
    "crlf": TEXT.replace("\n", "\r\n").encode(),
    "cr": TEXT.replace("\n", "\r").encode(),
    "blank lines first": b"\n\r\n  \n" + TEXT.encode(),
    "sep": b"sep=,\r\n" + TEXT.encode(),
    "sep after a mark": "sep=,\n".encode("utf-8-sig") + TEXT.encode(),
    "semicolons": TEXT.replace(",", ";").encode(),
    "tabs": TEXT.replace(",", "\t").encode(),
    "bars": TEXT.replace(",", "|").encode(),
    "sep of its own": b"sep=#\n" + TEXT.replace(",", "#").encode(),
    "no end of line": TEXT.strip().encode(),
    "gzip": gzip.compress(TEXT.encode()),
    "bzip2": bz2.compress(TEXT.encode("cp1252")),
    "zip": zipped(**{"t.csv": TEXT.encode(), "__MACOSX/._t.csv": b"\0\5"}),
}


@pytest.mark.parametrize("case", ENCODED)
def test_every_dialect_reads_the_same(tmp_path: Path, case: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(ENCODED[case])
    text = read_text(path)
    assert text.header == ("image", "patient", "Größe")
    assert [cells for _, cells in records(text)] == [["ä.png", "1", "0"], ["b.png", "2", "1"]]


BINARY: dict[str, tuple[bytes, str]] = {
    "xlsx": (zipped(**{"[Content_Types].xml": b"", "xl/workbook.xml": b""}), "Excel.*CSV UTF-8"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "Excel.*CSV UTF-8"),
    "ods": (zipped(mimetype=b"", **{"content.xml": b""}), "OpenDocument.*CSV UTF-8"),
    "two files": (zipped(a=b"1", b=b"2"), "holds 2 files: unpack"),
    "no file": (zipped(), "Cannot read|holds 0 files|is empty|not a text"),
    "xz": (b"\xfd7zXZ\0" + bytes(9), "compressed by xz"),
    "web page": (b"\n<!DOCTYPE html><html>", "web page"),
    "xml": (b'<?xml version="1.0"?>', "web page or XML"),
    "tar": (gzip.compress(tarred()), "tar archive: unpack"),
    "pdf": (b"%PDF-1.7", "PDF file"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "bytes": (bytes(range(256)), "not a text file.*CSV UTF-8"),
    "half of utf-16": ("\ufeffa,b\n".encode("utf-16-le")[:-1], "damaged UTF-16"),
    "mixed": ("a,b\nä,1\n".encode() + "ö,2\n".encode("cp1252"), "line 3: .*neither UTF-8 nor"),
    "no Windows either": (b"a,b\n1,2\n\x81,3\n", "line 3: .*neither UTF-8 nor Windows-1252"),
    "empty": (b"", "is empty"),
    "blank": (b"\n \r\n", "is empty"),
    "only a mark": (b"\xef\xbb\xbf", "is empty"),
    "cut gzip": (gzip.compress(TEXT.encode() * 99)[:-20], r"Cannot read .*t\.csv: .*\w\.$"),
    "cut bzip2": (bz2.compress(TEXT.encode())[:-9], r"Cannot read .*t\.csv: .*\w\.$"),
    "cut zip": (zipped(a=b"1" * 99)[:-30], r"Cannot read .*t\.csv: .*\w\.$"),
}


@pytest.mark.parametrize("case", BINARY)
def test_what_is_no_table_is_named(tmp_path: Path, case: str) -> None:
    data, message = BINARY[case]
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        read_text(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda data: zipped(a=data)])
def test_a_table_that_decompresses_to_more_than_tables_do_is_refused_early(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "_FREE", 1 << 16)
    path = tmp_path / "t.csv"
    path.write_bytes(pack(TEXT.encode() + b"1,2\n" * 3_000_000))
    with pytest.raises(
        UsageError,
        match=r"is refused: its [\d,]+ bytes decompress to more than [\d,]+ bytes of cells",
    ):
        read_text(path)
    path.write_bytes(pack(TEXT.encode()))
    assert read_text(path).data.decode() == TEXT


def test_cells_that_fill_the_memory_are_refused_however_short_they_are(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 2_000_000, 1))  # 8 MB
    with pytest.raises(UsageError, match=r"decompress to more than [\d,]+ bytes of cells"):
        read_text(path)


def test_lines_are_those_of_an_editor(write_csv: Callable[[str], Path]) -> None:
    text = 'sep=;\n\na;b\n1;2\n\n"3\n3";4\n;\n  \n5;6\n ; \n7;8\n'
    found = list(records(read_text(write_csv(text))))
    assert found == [(4, ["1", "2"]), (6, ["3\n3", "4"]), (10, ["5", "6"]), (12, ["7", "8"])]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('1,2\n"3,4\n5,6\n', r"line 3: a quotation mark opens here and is never closed"),
        ('1,2\n3,4\n"5"x,6\n', r"line 4: text follows a closing quotation mark"),
    ],
)
def test_wrong_quotation_marks_are_refused_by_line(
    write_csv: Callable[[str], Path], rows: str, message: str
) -> None:
    text = read_text(write_csv(f"a,b\n{rows}"))
    with pytest.raises(UsageError, match=message):
        list(records(text))
    assert not well_quoted(text)


@pytest.mark.parametrize(
    "rows", ['1,2\n"3\n",4\n', '"1",""\n"a ""b"" c",","\n', '""\n"""",2\n', "1,2\n"]
)
def test_cells_that_open_and_close_are_well_quoted(
    write_csv: Callable[[str], Path], rows: str
) -> None:
    assert well_quoted(read_text(write_csv(f"a,b\n{rows}")))


def test_the_separator_follows_from_the_names(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("Image Index;Bbox [x,y,w,h,n];Patient ID\na;1;2\n")
    text = read_text(path, ("image index", "Patient ID"))
    assert text.separator == ";"
    assert text.header == ("Image Index", "Bbox [x,y,w,h,n]", "Patient ID")


def test_a_header_of_quoted_lines_is_one_row(write_csv: Callable[[str], Path]) -> None:
    text = read_text(write_csv('image,"a\nb",\n1,2\n'))
    assert text.header == ("image", "a\nb")
    assert list(records(text)) == [(3, ["1", "2"])]


def test_capitals_and_blanks_do_not_count() -> None:
    assert plain(" Patient  ID\t") == plain("patient id")
    assert plain("patient_id") != plain("patient id")


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_table_that_is_no_file_comes_with_advice(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"Cannot read the table .*: check --labels\."):
        begins_with(tmp_path / name, b"PAR1")


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "/dev/fd/{}"])
def test_a_table_is_a_file_that_ends(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader, writer = os.pipe()
    try:
        with pytest.raises(
            UsageError, match=r"it is a pipe or device: write it to a file\): check"
        ):
            begins_with(tmp_path / name.format(reader), b"PAR1")
    finally:
        os.close(reader)
        os.close(writer)
