"""The numbers of DELTA_BINARY_PACKED, as Arrow writes them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract.delta import first_and_largest


def packed(numbers: list[int], path: Path) -> bytes:
    options = {"use_dictionary": False, "compression": "none", "data_page_size": 1 << 30}
    field = pa.field("x", pa.int32(), nullable=False)
    table = pa.table([pa.array(numbers, pa.int32())], schema=pa.schema([field]))
    pq.write_table(table, path, column_encoding={"x": "DELTA_BINARY_PACKED"}, **options)
    data = path.read_bytes()
    return data[data.index(b"\x80\x01\x04") :]  # blocks of 128 in 4 miniblocks


@pytest.mark.parametrize("count", [1, 2, 32, 33, 129, 5000])
def test_the_first_and_the_largest_are_found(count: int, tmp_path: Path) -> None:
    for seed, most in enumerate((1, 90, 2**20, 2**30)):
        numbers = np.random.default_rng(seed).integers(0, most, count).tolist()
        data = packed(numbers, tmp_path / "x")
        assert first_and_largest(data, count) == (numbers[0], max(numbers))


def test_no_number_is_none() -> None:
    assert first_and_largest(b"\x80\x01\x04\x00\x00", 0) == (0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x01\x00\x05\x00",  # no miniblock
        b"\x81\x01\x04\x05\x00",  # blocks of 129
        b"\x80\x01\x04\xff\xff\x7f\x00",  # more numbers than values
        b"\x80\x01\x04\x05\x00\x00\x21\x00\x00\x00" + bytes(999),  # of 33 bits
        b"\x80\x01\x04\x05\x00\x01\x00\x00\x00\x00",  # below zero
        b"\x80\x01\x04\x05\x00\x00\x08\x00\x00\x00",  # cut
    ],
)
def test_damage_is_found(data: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        first_and_largest(data, 9)
