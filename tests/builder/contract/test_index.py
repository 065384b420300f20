from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract import (
    GROUPS,
    CheckError,
    Manifest,
    index_bytes,
    load_index,
    load_manifest,
)
from builder.contract.index import max_index_bytes

Raw = dict[str, Any]
Reseal = Callable[[Callable[[Raw], object]], Path]
RewriteIndex = Callable[[Callable[[Any], Any]], Manifest]


@pytest.fixture
def rewrite_index(sealed: Path, manifest_path: Path, rehash: Callable[[], Path]) -> RewriteIndex:
    """As `reseal`, on the arrow table: for what our own writer would not write."""

    def change_it(change: Callable[[Any], Any]) -> Manifest:
        path = sealed / load_manifest(manifest_path).index.url
        pq.write_table(change(pq.read_table(path)), path)
        return load_manifest(rehash())

    return change_it


def made(columns: Raw, origin: str = "synthetic") -> int:
    """The last row of that origin."""
    return int(np.flatnonzero(columns["origin"] == origin)[-1])


FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "offset": (lambda c: c["offset"].__setitem__(0, 10**9), "points outside"),
    "negative": (lambda c: c["offset"].__setitem__(0, -1), "points outside"),
    "size": (lambda c: c["size"].__setitem__(0, 10**8), "oversized"),
    "label": (lambda c: c["labels"].__setitem__((0, 0), 7), "outside 1, 0, -1"),
    "key": (lambda c: c["key"].__setitem__(0, "../../etc/evil"), "keys match"),
    "twice": (lambda c: c["key"].__setitem__(0, c["key"][1]), "key twice"),
    "split": (lambda c: c["split"].__setitem__(0, "val"), "disagree about the samples"),
    "origin": (lambda c: c["origin"].__setitem__(0, "synthetic"), "disagree about"),
    "target": (lambda c: c["target"].__setitem__(made(c), "zzz"), "none of the pathologies"),
    "real target": (
        lambda c: c["target"].__setitem__(made(c, "real"), "Mass"),
        "gives a real image of .* a target or a draw number",
    ),
    "real draw": (
        lambda c: c["draw"].__setitem__(made(c, "real"), 0),
        "gives a real image of .* a target or a draw number",
    ),
    "no target": (lambda c: c["target"].__setitem__(made(c), ""), "has no target or draw number"),
    "no draw": (lambda c: c["draw"].__setitem__(made(c), -1), "has no target or draw number"),
    "large draw": (
        lambda c: c["draw"].__setitem__(made(c), 1 << 31),
        "a draw number above 2,147",
    ),
    "view": (lambda c: c["view"].__setitem__(0, "upside"), "another view than frontal, lateral"),
    "sex": (lambda c: c["sex"].__setitem__(0, "F"), "another sex than female, male or an empty"),
    "exact age": (lambda c: c["age"].__setitem__(0, "63"), "another age than 0-20, 20-40"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_index_is_refused(sealed: Path, case: str, reseal: Reseal) -> None:
    change, message = FORGED[case]
    manifest = load_manifest(reseal(change))
    with pytest.raises(CheckError, match=message):
        load_index(manifest, sealed)


def test_groups_are_columns_only_where_they_are_known_and_come_back(
    sealed: Path, reseal: Reseal
) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["view"][:] = ""
        columns["sex"][:3] = ["female", "male", ""]
        columns["age"][:5] = GROUPS["age"]

    manifest = load_manifest(reseal(change))
    names = pq.read_schema(sealed / manifest.index.url).names
    assert names[-4:] == ["patient", "sex", "age", "sketch"]
    index = load_index(manifest, sealed)
    assert set(index.view) == {""}
    assert index.sex[:4].tolist() == ["female", "male", "", ""]
    assert index.age[:6].tolist() == [*GROUPS["age"], ""]


def test_an_index_without_groups_and_sketches_has_the_columns_and_bytes_it_had(
    sealed: Path, reseal: Reseal
) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["sketch"] = np.empty((len(columns["key"]), 0), np.uint8)
        for name in GROUPS:
            columns[name][:] = ""

    manifest = load_manifest(reseal(change))
    path = sealed / manifest.index.url
    start = ["key", "split", "origin", "shard", "offset", "size"]
    assert pq.read_schema(path).names == [
        *(*start, *manifest.pathologies),
        *("target", "draw", "patient"),
    ]
    index = load_index(manifest, sealed)
    assert all((getattr(index, name) == "").all() for name in GROUPS)
    assert index.sketch.shape == (len(index), 0)
    assert index_bytes(index, manifest.pathologies) == path.read_bytes()


def test_sketches_are_bytes_that_come_back_and_are_not_shared_by_images(
    sealed: Path, reseal: Reseal
) -> None:
    manifest = load_manifest(sealed / "manifests" / "gan100.json")
    index = load_index(manifest, sealed)
    assert (index.sketch.shape, index.sketch.dtype) == ((len(index), 16), np.uint8)
    assert len({row.tobytes() for row in index.sketch}) == len(index)
    other = np.arange(16 * len(index), dtype=np.uint32).astype(np.uint8).reshape(-1, 16)
    manifest = load_manifest(reseal(lambda c: c.__setitem__("sketch", other)))
    assert (load_index(manifest, sealed).sketch == other).all()
    column = pq.read_table(sealed / manifest.index.url)["sketch"]
    assert column.type == pa.binary(16)
    assert column[3].as_py() == other[3].tobytes()


def test_sketches_of_a_few_pixels_are_refused(
    sealed: Path, spoil: Callable[[Callable[[Raw], object]], Path]
) -> None:
    manifest = load_manifest(spoil(lambda raw: raw["image"].update(height=3)))
    with pytest.raises(CheckError, match=r"too small to have any|oversized"):
        load_index(manifest, sealed)


WORDS = pa.dictionary(pa.int32(), pa.string())
REFUSED_COLUMNS = {
    "unknown": [("height", WORDS)],
    "another order": [("age", WORDS), ("sex", WORDS)],
    "another type": [("sex", pa.string())],
    "twice": [("sex", WORDS), ("sex", WORDS)],
    "after the sketch": [("age", WORDS)],
    "two sketches": [("sketch", pa.binary(16))],
}


@pytest.mark.parametrize("case", REFUSED_COLUMNS)
def test_an_index_with_further_columns_is_refused(
    sealed: Path, case: str, rewrite_index: RewriteIndex
) -> None:
    def change(table: Any) -> Any:
        for name, kind in REFUSED_COLUMNS[case]:
            binary = pa.types.is_fixed_size_binary(kind)
            words = pa.array([""] * len(table), pa.string())
            cells = pa.array([bytes(16)] * len(table), kind) if binary else words.cast(kind)
            place = len(table.column_names) - (case != "after the sketch")
            table = table.add_column(place, pa.field(name, kind), cells)
        return table

    with pytest.raises(CheckError, match="other columns than"):
        load_index(rewrite_index(change), sealed)


def test_a_word_that_no_row_uses_is_refused_too(sealed: Path, rewrite_index: RewriteIndex) -> None:
    def change(table: Any) -> Any:
        ages = pa.DictionaryArray.from_arrays(
            pa.array([0] * len(table), pa.int32()), pa.array(["60-80", "63 years"])
        )
        place = table.column_names.index("sketch")
        return table.add_column(place, pa.field("age", WORDS), ages)

    with pytest.raises(CheckError, match="another age than"):
        load_index(rewrite_index(change), sealed)


@pytest.mark.parametrize("name", ["offset", "draw", "Mass", "patient", "shard", "view", "sketch"])
def test_an_index_with_a_missing_value_is_refused(
    sealed: Path, name: str, rewrite_index: RewriteIndex
) -> None:
    def change(table: Any) -> Any:
        column = table[name].to_pylist()
        place = table.column_names.index(name)
        field = table.schema.field(name)
        return table.set_column(place, field, pa.array([None, *column[1:]], field.type))

    with pytest.raises(CheckError, match="no value in some row"):
        load_index(rewrite_index(change), sealed)


def test_a_cell_of_megabytes_is_refused(sealed: Path, rewrite_index: RewriteIndex) -> None:
    def change(table: Any) -> Any:
        place = table.column_names.index("patient")
        words = pa.array(["x" * 50_000] * len(table))
        return table.set_column(place, table.schema.field("patient"), words)

    with pytest.raises(CheckError, match=r"more than 100 bytes|too large"):
        load_index(rewrite_index(change), sealed)


def test_the_largest_draw_number_comes_back(sealed: Path, reseal: Reseal) -> None:
    manifest = load_manifest(reseal(lambda c: c["draw"].__setitem__(made(c), (1 << 31) - 1)))
    assert load_index(manifest, sealed).draw.max() == (1 << 31) - 1


def test_a_target_that_no_row_uses_is_refused_too(
    sealed: Path, rewrite_index: RewriteIndex
) -> None:
    def change(table: Any) -> Any:
        place, column = table.column_names.index("target"), table["target"].chunk(0)
        more = pa.array([*column.dictionary.to_pylist(), "zzz"])
        words = pa.DictionaryArray.from_arrays(column.indices, more)
        return table.set_column(place, pa.field("target", WORDS), words)

    with pytest.raises(CheckError, match="none of the pathologies"):
        load_index(rewrite_index(change), sealed)


def test_an_offset_beyond_all_numbers_is_refused(sealed: Path, reseal: Reseal) -> None:
    manifest = load_manifest(reseal(lambda c: c["offset"].__setitem__(0, 2**63 - 1)))
    with pytest.raises(CheckError, match="points outside"):
        load_index(manifest, sealed)


def test_an_index_of_another_shape_or_hash_is_refused(
    sealed: Path, rehash: Callable[[], Path], manifest_path: Path
) -> None:
    manifest = load_manifest(manifest_path)
    path = sealed / manifest.index.url
    pq.write_table(pq.read_table(path).drop_columns(["patient"]), path)
    with pytest.raises(CheckError, match="sha256 differs"):
        load_index(manifest, sealed)
    manifest = load_manifest(rehash())
    with pytest.raises(CheckError, match="other columns"):
        load_index(manifest, sealed)
    path.write_bytes(b"PAR1 nonsense")
    manifest = load_manifest(rehash())
    with pytest.raises(CheckError, match="not readable"):
        load_index(manifest, sealed)


def test_the_index_is_much_smaller_than_pandas_default(
    sealed: Path, tmp_path: Path, manifest_path: Path
) -> None:
    manifest = load_manifest(manifest_path)
    index = load_index(manifest, sealed)
    many = {n: np.concatenate([getattr(index, n)] * 300) for n in index.__slots__}
    many["key"] = np.array([f"gan100-mass-{i:07d}" for i in range(len(many["key"]))], dtype=object)
    data = index_bytes(type(index)(**many), manifest.pathologies)
    path = tmp_path / "own.parquet"
    path.write_bytes(data)
    frame = pq.read_table(path).to_pandas()
    plain = frame.astype({"split": str, "origin": str, "shard": str, "target": str})
    plain = plain.astype(dict.fromkeys(manifest.pathologies, "int64"))
    plain.to_parquet(tmp_path / "pandas.parquet")
    assert len(data) <= 0.6 * (tmp_path / "pandas.parquet").stat().st_size


@pytest.mark.parametrize("width", [4, 60])
@pytest.mark.parametrize("rows", [1, 2000])
@pytest.mark.parametrize("count", [1, 174, 400])
def test_an_index_of_many_labels_is_within_the_bound_and_the_bound_is_near(
    sealed: Path, manifest_path: Path, count: int, rows: int, width: int
) -> None:
    one = load_index(load_manifest(manifest_path), sealed)
    columns = {name: np.resize(getattr(one, name), rows) for name in one.__slots__[:-1]}
    columns["key"] = np.array([f"real-{i:09d}" for i in range(rows)], object)
    random = np.random.default_rng(0)
    columns["labels"] = random.integers(-1, 2, (rows, count)).astype(np.int8)
    columns["sketch"] = random.integers(0, 256, (rows, 16)).astype(np.uint8)
    names = [f"{i:04d}".ljust(width, "é") for i in range(count)]
    size, most = len(index_bytes(type(one)(**columns), names)), max_index_bytes(rows, names)
    assert size <= most
    assert most <= 2 * size + max_index_bytes(rows, [])
