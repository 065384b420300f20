"""What the footer and the pages of a parquet file say, before Arrow reads any of them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract.parquet_pages import DAMAGE, Chunk, Footer, read_chunks, read_footer

ROWS = 1000


def write(path: Path, column: pa.Array, **options: object) -> Path:
    pq.write_table(pa.table({"a": column}), path, compression="zstd", **options)
    return path


def footer_of(path: Path) -> Footer:
    with path.open("rb") as file:
        return read_footer(file)


def chunks_of(path: Path) -> list[Chunk]:
    with path.open("rb") as file:
        return [chunk for _, chunk in read_chunks(file, read_footer(file))]


def test_the_leaves_of_a_tree_are_its_columns(tmp_path: Path) -> None:
    rows = [{"b": 1, "c": {"d": [2, 3], "e": "x"}}] * 3
    pq.write_table(pa.table({"a": rows, "f": [1, 2, 3], "g": [[1]] * 3}), tmp_path / "x")
    footer = footer_of(tmp_path / "x")
    assert [leaf.nested for leaf in footer.leaves] == [True, True, True, False, True]
    assert (footer.rows, footer.size) == (3, (tmp_path / "x").stat().st_size)


def test_pages_say_how_many_values_they_have(tmp_path: Path) -> None:
    options = {"data_page_size": 800, "write_batch_size": 50, "row_group_size": 600}
    chunks = chunks_of(write(tmp_path / "x", pa.array(range(ROWS)), **options))
    assert [chunk.rows for chunk in chunks] == [600, 400]
    for chunk in chunks:
        pages = list(chunk.pages())
        assert sum(page.values for page in pages if not page.dictionary) == chunk.rows
        assert sum(page.dictionary for page in pages) == 1


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_longest_beginning_is_found(version: str, tmp_path: Path) -> None:
    words = pa.array(["", None, "x" * 700 + "a", "x" * 700 + "b", "y"])
    options = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}
    (chunk,) = chunks_of(write(tmp_path / "x", words, data_page_version=version, **options))
    assert [chunk.longest_prefixed(page) for page in chunk.pages()] == [700]
    (chunk,) = chunks_of(write(tmp_path / "x", words, use_dictionary=False))
    assert [chunk.longest_prefixed(page) for page in chunk.pages()] == [0]


def test_the_longest_word_of_a_dictionary_is_found(tmp_path: Path) -> None:
    words = pa.array(["", None, "é" * 9, "y", "y"] * 9)
    (chunk,) = chunks_of(write(tmp_path / "x", words))
    dictionary, page = chunk.pages()
    assert (dictionary.dictionary, page.dictionary) == (True, False)
    assert (dictionary.worded, page.worded) == (False, True)
    assert chunk.longest_word(dictionary) == 18


def test_a_page_too_few_is_found_at_the_end(tmp_path: Path) -> None:
    (chunk,) = chunks_of(write(tmp_path / "x", pa.array(range(ROWS)), use_dictionary=False))
    more = Chunk(leaf=chunk.leaf, rows=ROWS + 1, codec=chunk.codec, data=chunk.data)
    with pytest.raises(ValueError, match="other rows"):
        list(more.pages())


def forged(depth: int) -> bytes:
    """A file whose only column is so many columns deep."""
    root, group, leaf = b"\x48\x01r\x15\x02\x00", b"\x35\x00\x18\x01a\x15\x02\x00", b""
    leaf = b"\x15\x02\x25\x00\x18\x01b\x00"
    elements = root + group * depth + leaf
    count = depth + 2
    sizes = bytes([count & 127 | 128, count >> 7]) if count > 127 else bytes([count])
    listed = b"\xfc" + sizes + elements
    footer = b"\x15\x02\x19" + listed + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def test_columns_are_not_nested_without_end(tmp_path: Path) -> None:
    """Arrow goes down by recursion, and its stack ends."""
    path = tmp_path / "x"
    path.write_bytes(forged(3))
    assert [leaf.nested for leaf in footer_of(path).leaves] == [True]
    assert pq.read_schema(path).names == ["a"]
    path.write_bytes(forged(10_000))
    with pytest.raises(ValueError, match="nested too deeply"):
        footer_of(path)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1\0\0\0\0PAR1", b"PAR1\xff\xff\xff\xffPAR1"])
def test_what_is_no_footer_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DAMAGE):
        footer_of(tmp_path / "x")
