import gzip
from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.progress import progress
from builder.share.leaks import Forbidden, text_leaks
from builder.share.people import TableFacts
from builder.share.tables import read_tables

NOTHING = TableFacts()
MIMIC = """subject_id,study_id,dicom_id,ViewPosition,StudyDate,Mass,report
10000032,50414267,02aa804e-bde0,PA,21800506,1.0,No acute process is seen in the lungs of this man
10000764,57375967,096052b7-d256,AP,21321015,,Stable
"""


def read(folder: Path, text: str | bytes, told: TableFacts = NOTHING) -> Forbidden:
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tables([path], told, progress)[0]


def test_numbers_names_dates_and_reports_of_each_row(tmp_path: Path) -> None:
    found = read(tmp_path, MIMIC)
    assert found.rows == 2
    assert {"10000032", "50414267", "02aa804e-bde0", "21800506"} <= found.words
    assert found.patients == {"10000032", "10000764"}
    assert "No acute process is seen in the lungs of this man" in found.texts
    assert not {"PA", "1.0", "Stable"} & found.words


@pytest.mark.parametrize("line", MIMIC.splitlines()[1:])
def test_each_row_of_the_table_is_recognised(tmp_path: Path, line: str) -> None:
    assert list(text_leaks(line, "README.md", read(tmp_path, MIMIC)))
    assert list(text_leaks(f"as in {line.split(',')[0]}", "README.md", read(tmp_path, MIMIC)))


def test_what_many_rows_share_singles_nobody_out(tmp_path: Path) -> None:
    rows = "".join(f"CheXpert-v1.0/train/patient{i:05d}/study1/view1.jpg,1\n" for i in range(50))
    found = read(tmp_path, f"Path,Mass\n{rows}", TableFacts(image="Path", number=r"patient(\d+)"))
    assert "patient00049" in found.words
    assert {"1", "49"} <= found.patients  # though no column names them
    assert not {"CheXpert-v1.0", "study1", "train"} & found.words


def test_a_patient_with_many_images_is_protected(tmp_path: Path) -> None:
    rows = "".join(f"10000032.0,{i % 2}\n007,{i % 2}\n" for i in range(50))
    found = read(tmp_path, f"subject_id,Mass\n{rows}")
    assert "10000032" in found.words
    assert "007" not in found.words  # too short to be told from a count
    assert list(text_leaks("files/p10000032/x", "README.md", found))
    assert list(text_leaks("patient 7", "README.md", found))


NAMED = """file,Patient ID,Name,Mass
1.png,Doe^John,Anna Schmidt,1
2.png,Mueller,Long,0
3.png,A17,Özgür Yılmaz,0
4.png,unknown,,0
"""


@pytest.mark.parametrize(
    "text",
    [
        "as Doe^John has",
        "as John Doe has",
        "Schmidt, Anna",
        "anna_schmidt.md",
        "patient Mueller",
        "MUELLER's nodule",
        "for Long alone",
        "see A17",
        "case Long",
        "by Özgür Yılmaz",
    ],
)
def test_a_name_without_a_digit_is_found(tmp_path: Path, text: str) -> None:
    found = list(text_leaks(text, "README.md", read(tmp_path, NAMED)))
    assert any("patient of the table" in leak for leak in found), found


@pytest.mark.parametrize(
    "text", ["long ago", "Anna", "John", "a17b", "Muellers", "patient unknown", "an unknown age"]
)
def test_another_word_is_no_name(tmp_path: Path, text: str) -> None:
    assert not list(text_leaks(text, "README.md", read(tmp_path, NAMED)))


def test_a_column_of_file_names_holds_no_persons(tmp_path: Path) -> None:
    found = read(tmp_path, "File Name,Hospital Name,patient,Mass\nscan,Charité,,1\n")
    assert not found.names
    assert not found.patients


SAID = "We thank Anna Long.\nBad for Patient 42."
ROW = "a.png;42;Long, Anna;1"
TABLES = {
    "sep": f"sep=;\nimage;patient;name;Mass\n{ROW}\n",
    "commas in the header": f"image;patient;name;Mass (left, right, both, none)\n{ROW}\n",
    "commas, other names": f"image;PatNr;Nachname;Mass (left, right, both, none)\n{ROW}\n",
    "utf-16": f"image;patient;name;Mass\n{ROW}\n".encode("utf-16"),
    "bars": f"image;patient;name;Mass\n{ROW}\n".replace(";", "|"),
    "cr": f"image;patient;name;Mass\n{ROW}\n".replace("\n", "\r"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_is_read_as_the_build_reads_it(tmp_path: Path, case: str) -> None:
    found = read(tmp_path, TABLES[case])
    assert found.patients >= {"42", "Long, Anna"}
    assert found.rows == 1
    for line in SAID.splitlines():
        assert list(text_leaks(line, "README.md", found)), line
    mark = "|" if case == "bars" else ";"
    row = ROW.replace(";", mark)
    for line in (row, row.replace(mark, ",")):
        assert any("a row of the table" in leak for leak in text_leaks(line, "x", found)), line


def test_the_column_that_the_build_was_given_is_looked_at(tmp_path: Path) -> None:
    table = "image,Zeichen,Case\na.png,Xaver,1\n"
    found = read(tmp_path, table, TableFacts(patient="Zeichen", labels=frozenset({"Case"})))
    assert found.patients == {"Xaver"}
    with pytest.raises(UsageError, match=r"labels\.csv has no column that is known to name pati"):
        read(tmp_path, table, TableFacts(labels=frozenset({"Case"})))


def test_a_table_that_names_no_patient_is_refused_with_its_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "image;Kürzel;Mass\na.png;AL;1\n")
    assert "it has image, Kürzel, Mass: call the column of patients 'patient', or" in str(
        caught.value
    )
    with pytest.raises(UsageError, match="has a header but no row"):
        read(tmp_path, "image,patient\n , \n")


def test_the_columns_that_were_taken_are_said(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("image,patient,first_name,view\na,1,Anna,PA\n")
    (tmp_path / "two.csv").write_text("Path,Mass\npatient7/a,1\n")
    paths = [tmp_path / "one.csv", tmp_path / "two.csv"]
    _, notes = read_tables(paths, TableFacts(image="Path"), progress)
    assert notes == (
        "Columns of patients in one.csv: 'patient', 'first_name'; if another one names them, call "
        "it 'name'.",
        "Columns of patients in two.csv: 'Path'; if another one names them, call it 'name'.",
    )


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_every_delimiter_and_a_compressed_file(tmp_path: Path, mark: str) -> None:
    text = MIMIC.replace(",", mark)
    assert read(tmp_path, text).patients == {"10000032", "10000764"}
    assert read(tmp_path, gzip.compress(text.encode())).patients == {"10000032", "10000764"}


def test_old_encodings_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, "Patient ID;Körper\n007;größe-123\n".encode("latin-1"))
    assert (found.patients, "größe-123" in found.words) == ({"7"}, True)


DAMAGED = (
    b"",
    b"\x89PNG\0\0",
    b"one column\n1\n",
    b"\x1f\x8bbroken",
    gzip.compress(MIMIC.encode() * 9, mtime=0)[:10] + b"\xff" * 20,  # a header, then no deflate
)


@pytest.mark.parametrize("data", DAMAGED)
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match=r"labels\.csv"):
        read(tmp_path, data)


def test_an_absent_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot read the table .*absent"):
        read_tables([tmp_path / "absent.csv"], NOTHING, progress)
