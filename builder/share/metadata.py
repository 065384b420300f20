"""The two tables of a release: `metadata/train.parquet` of its images, `real.parquet` of the rest.

The first has a row for each synthetic image, with plain columns for plain tools. The second lists
the real images that a recipient packs from a copy of their own: no patient, no path, no label.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.contract import CheckError
from builder.contract.parquet import read_parquet
from builder.contract.sketch import SKETCH_BYTES
from builder.share.shards import RealRow, Rows

METADATA, REAL = "metadata/train.parquet", "real.parquet"

MAX_ROW = 400  # bytes of a row in a parquet file; no honest one comes near it
_MAX_WORD = 200  # bytes of a cell


def metadata_bytes(rows: Rows, pathologies: Sequence[str]) -> bytes:
    """The parquet file of the synthetic images."""
    count = len(rows.key)
    columns: dict[str, Sequence[object]] = {
        "key": rows.key,
        "split": ["train"] * count,
        "origin": ["synthetic"] * count,
        "shard": rows.shard,
        "offset": rows.offset,
        "size": rows.size,
        "target": rows.target,
        "draw": rows.draw,
    }
    columns |= dict(zip(pathologies, zip(*rows.labels, strict=True), strict=True))
    if rows.sketch:
        columns["sketch"] = rows.sketch
    return _written(columns, _metadata_schema(pathologies, bool(rows.sketch)))


def real_bytes(rows: Sequence[RealRow]) -> bytes:
    """The parquet file of the real half."""
    fields = {name: [getattr(row, name) for row in rows] for name in ("key", "split", "sha256")}
    return _written(fields, _REAL_SCHEMA)


def read_metadata(path: Path, count: int, pathologies: Sequence[str]) -> Rows:
    """The rows of a release's images; CheckError unless they are `count` and as written here."""
    schemas = [_metadata_schema(pathologies, sketched) for sketched in (True, False)]
    table = _read(path, METADATA, count, schemas)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    if set(columns["split"]) != {"train"} or set(columns["origin"]) != {"synthetic"}:
        raise CheckError(f"{METADATA} has images that are no synthetic ones for training.")
    names = ("key", "shard", "offset", "size", "target", "draw")
    return Rows(
        labels=tuple(zip(*(columns[name] for name in pathologies), strict=True)),
        sketch=tuple(columns.get("sketch", ())),
        **{name: tuple(columns[name]) for name in names},
    )


def read_real(path: Path, count: int) -> tuple[RealRow, ...]:
    """The real half of a release; CheckError unless it is `count` rows as written here."""
    table = _read(path, REAL, count, [_REAL_SCHEMA])
    return tuple(RealRow(**row) for row in table.to_pylist())


_REAL_SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "split", "sha256")])


def _metadata_schema(pathologies: Sequence[str], sketched: bool) -> Any:
    text, number = pa.string(), pa.int64()
    return pa.schema(
        [
            *((name, text) for name in ("key", "split", "origin", "shard")),
            *((name, number) for name in ("offset", "size")),
            *((name, pa.int8()) for name in pathologies),
            ("target", text),
            ("draw", number),
            *([("sketch", pa.binary(SKETCH_BYTES))] if sketched else []),
        ]
    )


def _written(columns: Mapping[str, Sequence[object]], schema: Any) -> bytes:  # pyarrow has no types
    arrays = [pa.array(columns[each.name], type=each.type) for each in schema]
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _read(path: Path, name: str, count: int, schemas: Sequence[Any]) -> Any:
    """The table, if it is `count` rows of one of the schemas, none longer than honest ones."""

    def columns(schema: Any) -> dict[str, int]:
        if not any(map(schema.equals, schemas)):
            raise CheckError(f"{name} has other columns than it must have.")
        words = [each.name for each in schema if pa.types.is_string(each.type)]
        return dict.fromkeys(words, _MAX_WORD)

    if not path.is_file():
        raise CheckError(f"{name} is missing or not readable.")
    if path.stat().st_size > MAX_ROW * (count + 100):
        raise CheckError(f"{name} is too large for {count:,} rows.")
    return read_parquet(path, name, rows=count, columns=columns)
