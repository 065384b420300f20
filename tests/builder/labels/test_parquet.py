"""A label table in parquet: honest ones come back, and a few bytes never stand for gigabytes."""

import datetime
import decimal
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract import UsageError
from builder.labels import dialect
from builder.labels.parquet import read_bounded

Bearable = Callable[[], AbstractContextManager[None]]
ROWS = 2000
NAMES = [f"patient{i // 7:05d}/{'x' * (i % 50)}.png" for i in range(ROWS)]
WORDS = [["nodule", "pleural effusion"], [], None, ["mass"]] * (ROWS // 4)
HONEST: dict[str, pa.Array] = {
    "names": pa.array(NAMES),
    "names of pandas": pa.array(NAMES, pa.large_string()),
    "some blank": pa.array([*NAMES[1:], None]),
    "all blank": pa.nulls(ROWS),
    "words": pa.array(["PA", None] * (ROWS // 2)).dictionary_encode(),
    "bytes": pa.array([name.encode() for name in NAMES]),
    "sixteen bytes": pa.array([b"0123456789abcdef"] * ROWS, pa.binary(16)),
    "labels": pa.array(np.zeros(ROWS, np.int8)),
    "probabilities": pa.array(np.linspace(0, 1, ROWS)),
    "ages": pa.array([decimal.Decimal("61.5")] * ROWS),
    "days": pa.array([datetime.date(2014, 1, 5)] * ROWS),
    "flags": pa.array([True, None] * (ROWS // 2)),
    "lists": pa.array(WORDS),
    "vectors": pa.array([[0.5] * 8, None] * (ROWS // 2), pa.list_(pa.float32(), 8)),
    "records": pa.array([{"path": name, "size": {"x": 1}} for name in NAMES]),
    "maps": pa.array([[("a", "b")]] * ROWS, pa.map_(pa.string(), pa.string())),
}


def write(path: Path, *columns: pa.Array, **options: Any) -> Path:
    table = pa.table({f"column {i}": column for i, column in enumerate(columns)})
    pq.write_table(table, path, **({"compression": "zstd"} | options))
    return path


def repeated(value: object, count: int, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array([value], kind).take(pa.array(np.zeros(count, np.int64)))


def test_a_path_that_is_not_utf8_is_as_good_as_any(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    made = write(tmp_path / "x.parquet", pa.array(NAMES))
    assert read_bounded(made.rename(folder / "x.parquet"))["column 0"].to_pylist() == NAMES


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("case", HONEST)
def test_an_honest_table_comes_back(case: str, words: bool, version: str, tmp_path: Path) -> None:
    options = {"data_page_size": 500, "write_batch_size": 64, "row_group_size": 700}
    path = write(
        tmp_path / "t", HONEST[case], use_dictionary=words, data_page_version=version, **options
    )
    found, column = read_bounded(path)[0], HONEST[case]
    assert found.to_pylist() == column.to_pylist()


def test_the_folders_name_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "split=train").mkdir()
    path = write(tmp_path / "split=train" / "t", HONEST["labels"])
    assert read_bounded(path).column_names == ["column 0"]


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_names_stored_by_their_ends_come_back(encoding: str, tmp_path: Path) -> None:
    options = {"use_dictionary": False, "column_encoding": {"column 0": encoding}}
    path = write(tmp_path / "t", HONEST["some blank"], **options)
    assert read_bounded(path)[0].to_pylist() == HONEST["some blank"].to_pylist()


LONG = "x" * (1 << 20)
PREFIXED = {"use_dictionary": False, "column_encoding": {"column 0": "DELTA_BYTE_ARRAY"}}
LARGE: dict[str, tuple[Callable[[], pa.Array], dict[str, Any]]] = {
    "a word in every row": (lambda: repeated(0, 3000).cast(pa.int32()), {}),
    "a word in every list": (lambda: repeated(["x" * (1 << 14)] * 8, 3000), {}),
    "a word in every record": (lambda: repeated({"a": "x" * (1 << 16)}, 3000), {}),
    "bytes in every row": (lambda: repeated(b"x" * (1 << 16), 3000), {}),
    "long bytes of one size": (lambda: repeated(b"x" * (1 << 16), 3000, pa.binary(1 << 16)), {}),
    "a beginning in every row": (lambda: pa.array([LONG] * 100), PREFIXED),
    "one long word": (lambda: pa.array(["x" * (100 << 20)]), {"use_dictionary": False}),
    "numbers": (lambda: pa.array(np.zeros(12_000_000, np.int8)), {}),
    "blanks": (lambda: pa.nulls(12_000_000), {}),
    "numbers in lists": (lambda: repeated([0] * 1000, 3000), {}),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_few_bytes_never_stand_for_gigabytes(
    case: str, tmp_path: Path, bearable: Bearable
) -> None:
    make, options = LARGE[case]
    column = make()
    if case == "a word in every row":
        column = pa.DictionaryArray.from_arrays(column, pa.array([LONG]))
    path = write(tmp_path / "t", column, **options)
    del column
    assert path.stat().st_size < 200_000
    with (
        bearable(),
        pytest.raises(UsageError, match=r"is refused: its [\d,]+ bytes of parquet hold more than"),
    ):
        read_bounded(path)


def test_what_the_file_holds_is_read_up_to_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "t", repeated("x" * 100, 1000), repeated(1, 1000))
    monkeypatch.setattr(dialect, "_MAX_RATIO", 0)
    monkeypatch.setattr(dialect, "_FREE", 142_000)  # 100 + 32 + 8 bytes a row, and the dictionaries
    assert len(read_bounded(path)) == 1000
    monkeypatch.setattr(dialect, "_FREE", 140_000)
    with pytest.raises(UsageError, match="more than 140,000, which no table of labels does; save"):
        read_bounded(path)


@pytest.mark.parametrize("case", HONEST)
def test_a_changed_byte_is_refused_or_gives_a_table(case: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t", HONEST[case])
    good, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        bad = bytearray(good)
        for place in random.integers(len(bad), size=3):
            bad[place] ^= 1 << random.integers(8)
        path.write_bytes(bad)
        with suppress(UsageError):
            read_bounded(path)


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1 and no more", b"PAR1\xff\xff\xff\x7fPAR1"])
def test_what_is_no_parquet_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(UsageError, match=r"t is not a readable parquet file: .*\w\.$"):
        read_bounded(tmp_path / "t")


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(pa.string(), 9, pa.array([b"a\xff"] * 9).buffers())
    with pytest.raises(UsageError, match="not a readable parquet file"):
        read_bounded(write(tmp_path / "t", texts))
