"""A parquet reader against files of some KB that stand for gigabytes, and damaged ones."""

import os
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract import CheckError
from builder.contract.parquet import read_parquet

Bearable = Callable[[], AbstractContextManager[None]]
WORDS = pa.dictionary(pa.int32(), pa.string())
ROWS = 2000


def read(path: Path, rows: int | None = ROWS) -> Any:
    def longest(schema: Any) -> dict[str, int]:
        texts = [f.name for f in schema if pa.types.is_string(f.type) or f.type.equals(WORDS)]
        return dict.fromkeys(texts, 100)

    return read_parquet(path, "The table", rows=rows, columns=longest)


def write(path: Path, column: Any, **options: Any) -> Path:
    pq.write_table(pa.table({"word": column}), path, compression="zstd", **options)
    return path


KEYS = [f"key-{i // 7:05d}-{'x' * (i % 50)}" for i in range(ROWS)]
HONEST: dict[str, tuple[Any, dict[str, Any]]] = {
    "dictionary": (pa.array(KEYS), {}),
    "plain": (pa.array(KEYS), {"use_dictionary": False}),
    "words": (pa.array(KEYS).dictionary_encode(), {}),
    "no row": (pa.array([], pa.string()), {}),
    "numbers": (pa.array(np.arange(ROWS)), {}),
    "labels": (pa.array(np.zeros(ROWS, np.int8)), {}),
    "probabilities": (pa.array(np.linspace(0, 1, ROWS)), {"use_byte_stream_split": True}),
    "bytes": (pa.array([b"0123456789abcdef"] * ROWS, pa.binary(16)), {}),
}
for encoding in ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"):
    HONEST[encoding] = (
        pa.array(KEYS),
        {
            "use_dictionary": False,
            "column_encoding": {"word": encoding},
        },
    )


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("page", [1 << 20, 500])
@pytest.mark.parametrize("case", HONEST)
def test_an_honest_table_comes_back(case: str, page: int, version: str, tmp_path: Path) -> None:
    column, options = HONEST[case]
    options = options | {"data_page_size": page, "write_batch_size": 64, "row_group_size": 700}
    path = write(tmp_path / "x.parquet", column, data_page_version=version, **options)
    assert read(path, len(column)).equals(pq.read_table(path))


def test_a_path_that_is_not_utf8_is_as_good_as_any(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    made = write(tmp_path / "x.parquet", pa.array(KEYS))
    assert read(made.rename(folder / "x.parquet"))["word"].to_pylist() == KEYS


def test_no_cell_is_without_a_value(tmp_path: Path) -> None:
    for column in (pa.array(["a", None]), pa.array(["a", None]).dictionary_encode()):
        with pytest.raises(CheckError, match="no value in some row of word"):
            read(write(tmp_path / "x", column), 2)


def test_another_number_of_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x", pa.array(KEYS))
    with pytest.raises(CheckError, match=r"The table has 2,000 rows, the manifest says 2,001\."):
        read(path, ROWS + 1)
    assert len(read(path, None)) == ROWS


LONG = "x" * (1 << 20)
LARGE: dict[str, dict[str, Any]] = {
    "a word in every row": {"store_schema": False},
    "a word of a dictionary": {},
    "a beginning in every row": {
        "store_schema": False,
        "use_dictionary": False,
        "column_encoding": {"word": "DELTA_BYTE_ARRAY"},
    },
    "a beginning of words": {
        "use_dictionary": False,
        "column_encoding": {"word": "DELTA_BYTE_ARRAY"},
    },
}


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("case", LARGE)
def test_a_long_cell_is_refused_before_it_is_repeated(
    case: str, version: str, tmp_path: Path, bearable: Bearable
) -> None:
    count = 100 if "beginning" in case else ROWS
    numbers = pa.array(np.zeros(count, np.int32))
    column = pa.DictionaryArray.from_arrays(numbers, pa.array([LONG]))
    path = write(tmp_path / "x", column, data_page_version=version, **LARGE[case])
    assert path.stat().st_size < 100_000
    with (
        bearable(),
        pytest.raises(CheckError, match=r"cell of [\d,]+ bytes|page of its column") as caught,
    ):
        read(path, count)
    assert len(str(caught.value)) < 200


def test_a_single_long_cell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="cell of 101 bytes in word, more than 100"):
        read(write(tmp_path / "x", pa.array([*KEYS[1:], LONG[:101]])))


def test_more_rows_than_the_file_can_hold_are_refused(tmp_path: Path, bearable: Bearable) -> None:
    path = write(tmp_path / "x", pa.array(["a"]).take(pa.array(np.zeros(3_000_000, np.int64))))
    with bearable(), pytest.raises(CheckError, match="too small for its 3,000,000 rows"):
        read(path, 3_000_000)


def test_a_page_that_grows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x", pa.array(np.zeros(ROWS, np.int64)), use_dictionary=False)
    data = path.read_bytes()
    assert data[4:7] == b"\x15\x00\x15"  # the kind of page, then its size as a varint
    path.write_bytes(data[:7] + b"\xfe\xff\x7f" + data[10:])
    with pytest.raises(CheckError, match="page of its column word has 1,048,575 bytes for 2,000"):
        read(path)


@pytest.mark.parametrize("case", HONEST)
def test_a_changed_byte_is_refused_or_gives_a_table(case: str, tmp_path: Path) -> None:
    column, options = HONEST[case]
    path = write(tmp_path / "x", column, **options)
    good, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        bad = bytearray(good)
        for place in random.integers(len(bad), size=3):
            bad[place] ^= 1 << random.integers(8)
        path.write_bytes(bad)
        with suppress(CheckError):
            read(path, len(column))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + struct.pack("<I", 1 << 31) + b"PAR1"])
def test_what_is_no_parquet_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CheckError, match=r"The table is (refused|cut, damaged or not readable)"):
        read(tmp_path / "x")


@pytest.mark.parametrize("worded", [False, True])
def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path, worded: bool) -> None:
    texts = pa.Array.from_buffers(pa.string(), 9, pa.array([b"a\xff"] * 9).buffers())
    path = write(tmp_path / "x", texts.dictionary_encode() if worded else texts)
    with pytest.raises(CheckError, match="not readable"):
        read(path, 9)
