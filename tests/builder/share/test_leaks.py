import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.share.leaks import Forbidden, image_leak, json_leaks, parquet_leaks, text_leaks

LEAKS = {
    "see /home/anna/chest/001.png": "an absolute path",
    "in (/tmp) and so on": "an absolute path",
    r"C:\Users\anna\x.png": "an absolute path",
    r"\\server\share": "an absolute path",
    "source:/home/anna/cxr": "an absolute path",
    "pacs01:/export/cxr/img": "an absolute path",
    "**/home/anna/x": "an absolute path",
    "</home/anna/x>": "an absolute path",
    "//nas/home/anna": "an absolute path",
    r"\\10.0.0.5\share\x": "an absolute path",
    "file:///x": "an absolute path",
    "~anna/data": "somebody's home",
    "made on 2026-11-29 10:28": "a clock time",
    "2026-11-29T10:28:00Z": "a clock time",
    "2019-03-04 9:15": "a clock time",
    "aged 63": "the age",
    "Aged 63, female": "the age",
    "age 63": "the age",
    "at the age of 63": "the age",
    "aged 63 and smoking": "the age",
    "aged 63 - smoker": "the age",
    "63yo": "the age",
    "63 y/o": "the age",
    "63-Year-Old": "the age",
    "63Y": "the age",
    "a 57 year old": "the age",
    "a 57-year-old man": "the age",
    "057Y": "the age",
    "Age: 57": "the age",
    '"patient age" = 57': "the age",
    "real-0123456789abcdef: Edema is 1 there and 0 here.": "the key of a real image",
    "00000013_005.png": "NIH image",
    "patient00017": "CheXpert patient",
    "p10000032": "MIMIC",
    "gan_p10000032": "MIMIC",
    "x_patient00123": "CheXpert patient",
    "patient_id_13": "the number of a patient",
    "s50414267": "MIMIC",
    "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014": "MIMIC image",
    "216840111366964012819207061112010307142602253_04-014-084.png": "PadChest",
    "1.2.826.0.1.3680043.8.498.1": "DICOM",
    "9a5094b2563a1ef3ff50dc5c7ff71345": "VinDr",
    "0004cfab-14fd-4e49-80ba-632a80b6bddd": "RSNA",
    "Patient ID: 13": "the number of a patient",
    '<img src="data:image/png;base64,AAAA">': "an image",
}
PLAIN = [
    "https://example.org/chest/data and data/train-00000-of-00006.tar, metadata/train.parquet",
    "http://mlcommons.org/croissant/1.1 and text/markdown, and/or 3/20 or 5 % / 6 %",
    "18 years and older; ages 0-20, 60-80; seen from 1992 to 2015; on 2026-11-29",
    "| age | 60-80 | 120 |, | age | 80- | 31 |; age 0-20, age 60 - 80, age 80+, aged 18 to 90",
    "aged 18 years and older, age 80 and over; page 12, stage 3, dosage: 5; 5y survival",
    "<b>bold</b> and </data>; a/b/c/d.png; ../x/y/z; hf://datasets/chest/gan10; s3://chest/gan10/x",
    r"([^\/]*)\.png",
    "112,120 images of 30,805 patients; version 1.0.0; torch 2.14.1; 10.1038/s41597-022-01498-w",
    "sha256 9d4de640ee4f760215d8be98376b20387ca52f9c6b4d1b727cb588fb82f40b80",
    "the patients of the source, 1 % of them",
]
TABLE = Forbidden(
    words=frozenset({"10000032", "3f1a-7", "scan-0042.png"}),
    patients=frozenset({"13", "7"}),
    texts=frozenset({"scan-0042.png,13,1,0", "no acute process in this long report of the chest"}),
    rows=2,
)


@pytest.mark.parametrize("text", LEAKS)
def test_what_tells_of_a_person_or_a_machine_is_found(text: str) -> None:
    found = list(text_leaks(f"Some words, {text}.", "README.md"))
    assert any(LEAKS[text] in leak for leak in found), found
    assert all(leak.startswith("README.md holds ") for leak in found)


@pytest.mark.parametrize("text", PLAIN)
def test_the_words_of_a_release_are_none(text: str) -> None:
    assert not list(text_leaks(text, "README.md", TABLE))


@pytest.mark.parametrize(
    "text",
    [
        "subject 10000032",
        "p10000032/s1",
        "images/scan-0042.png",
        "scan-0042.png,",
        "patient 13",
        "Case #0013",
        "patient case 13",
        "scan_patient_13",
        "scan-0042.png,13,1,0",
        "no acute  process in this long report of the chest",
    ],
)
def test_what_stands_in_the_table_is_found(text: str) -> None:
    assert any("table" in leak for leak in text_leaks(text, "README.md", TABLE))


def test_a_count_is_no_patient() -> None:
    text = "13 images of 881 patients, 7 of them rejected"
    assert not list(text_leaks(text, "README.md", TABLE))


@pytest.mark.parametrize(
    ("record", "leak"),
    [
        ({"recipe": {"options": ["lora=/home/anna/lora.bin"]}}, "an absolute path"),
        ({"recipe": {"patient": "x"}}, "which is a person's"),
        ({"recipe": {"Patient Age": 57}}, "which is a person's"),
        ({"a": [{"age": "57"}]}, "which is a person's"),
        ({"/home/anna/x": 1}, "an absolute path"),
        ({"recipe": {"subjects": [10000032]}}, "singles out a row"),
    ],
)
def test_json_is_searched_in_keys_and_values(record: object, leak: str) -> None:
    found = list(json_leaks(json.dumps(record).encode(), "manifests/x.json", TABLE))
    assert any(leak in each for each in found), found


def test_an_escaped_path_is_a_path() -> None:
    assert list(json_leaks(rb'{"a": "\u002fhome\/anna\/x"}', "x.json"))


def test_counts_in_json_are_no_numbers_of_patients() -> None:
    record = {"rows": 10000032, "filesize": 10000032, "contentSize": "10000032 B", "patients": 13}
    assert not list(json_leaks(json.dumps(record).encode(), "x.json", TABLE))


def parquet(columns: dict[str, list[object]], note: dict[str, str] | None = None) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(note), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "leak"),
    [
        (parquet({"patient": ["a1"]}), "the column 'patient'"),
        (parquet({"Age": [57]}), "the column 'Age'"),
        (parquet({"file": ["/home/anna/1.png"]}), "an absolute path"),
        (parquet({"file": ["x"]}, {"path": "/home/anna/1.png"}), "an absolute path"),
        (parquet({"file": ["scan-0042.png"]}), "singles out a row"),
    ],
)
def test_parquet_is_searched_in_names_cells_and_notes(data: bytes, leak: str) -> None:
    found = list(parquet_leaks(data, "real.parquet", TABLE))
    assert any(leak in each for each in found), found


def test_columns_without_a_person_pass() -> None:
    data = parquet({"key": ["gan-mass-0000013"], "patient": [""], "draw": [13]})
    assert not list(parquet_leaks(data, "index.parquet", TABLE))
    words = parquet({"key": ["scan-0042.png"]})
    assert not list(parquet_leaks(words, "index.parquet", TABLE, checked=("key",)))


@pytest.mark.parametrize("data", [b"\x89PNG\r\n", b"\xff\xd8\xff\xe0", bytes(128) + b"DICM"])
def test_an_image_in_place_of_a_text_is_found(data: bytes) -> None:
    assert list(image_leak(data, "README.md"))
    assert not list(image_leak(b"# A card", "README.md"))
