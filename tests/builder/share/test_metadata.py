from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.contract import CheckError, Index, Manifest
from builder.progress import progress
from builder.share.metadata import metadata_bytes, read_metadata, read_real, real_bytes
from builder.share.shards import Examined, examine


@pytest.fixture(scope="module")
def examined(manifest: Manifest, index: Index, sealed_once: Path) -> Examined:
    return examine(manifest, index, sealed_once, progress)


def test_the_images_come_back(examined: Examined, manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(metadata_bytes(examined.rows, manifest.pathologies))
    assert read_metadata(path, len(examined.rows.key), manifest.pathologies) == examined.rows
    plain = replace(examined.rows, sketch=())
    path.write_bytes(metadata_bytes(plain, manifest.pathologies))
    assert read_metadata(path, len(plain.key), manifest.pathologies) == plain


def test_the_columns_are_plain_and_of_no_person(examined: Examined, manifest: Manifest) -> None:
    data = metadata_bytes(examined.rows, manifest.pathologies)
    schema = pq.read_schema(pa.BufferReader(data))
    assert not {"patient", "view", "sex", "age"} & {*schema.names}
    assert schema.field("key").type == pa.string()
    assert schema.field("Mass").type == pa.int8()


def test_the_real_half_is_a_key_a_split_and_a_hash(examined: Examined, tmp_path: Path) -> None:
    path = tmp_path / "real.parquet"
    path.write_bytes(real_bytes(examined.real))
    assert pq.read_schema(path).names == ["key", "split", "sha256"]
    assert read_real(path, len(examined.real)) == examined.real


def test_the_bytes_are_the_same_again(examined: Examined, manifest: Manifest) -> None:
    names = manifest.pathologies
    assert metadata_bytes(examined.rows, names) == metadata_bytes(examined.rows, names)


def test_what_is_no_table_of_a_release_is_refused(examined: Examined, tmp_path: Path) -> None:
    path = tmp_path / "real.parquet"
    count = len(examined.real)
    with pytest.raises(CheckError, match="missing or not readable"):
        read_real(path, count)
    path.write_bytes(real_bytes(examined.real))
    with pytest.raises(CheckError, match=f"has {count} rows, the manifest says {count + 1}"):
        read_real(path, count + 1)
    path.write_bytes(b"PAR1" * 10)
    with pytest.raises(CheckError, match="cut, damaged or not readable"):
        read_real(path, count)
    pq.write_table(pa.table({"key": ["a"] * count, "patient": ["b"] * count}), path)
    with pytest.raises(CheckError, match="other columns"):
        read_real(path, count)
    long = replace(examined.real[0], sha256="x" * 201)
    path.write_bytes(real_bytes([long, *examined.real[1:]]))
    with pytest.raises(CheckError, match="a cell of 201 bytes in sha256, more than 200"):
        read_real(path, count)
    path.write_bytes(bytes(400 * (count + 100) + 1))
    with pytest.raises(CheckError, match="too large"):
        read_real(path, count)


def test_a_table_without_images_for_training_is_refused(
    examined: Examined, manifest: Manifest, tmp_path: Path
) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(metadata_bytes(examined.rows, manifest.pathologies))
    table = pq.read_table(path)
    place = table.column_names.index("origin")
    real = pa.array(["real"] * len(table))
    pq.write_table(table.set_column(place, "origin", real), path)
    with pytest.raises(CheckError, match="no synthetic ones"):
        read_metadata(path, len(table), manifest.pathologies)
