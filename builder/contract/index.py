"""The parquet index, `manifests/NAME.parquet`: one row per sample; write, load, check.

The columns view, sex and age exist only where the label table has them. Age is a band: an exact
age with a hash would tell strangers more about a patient than a report needs. The column sketch is
missing in an index that was sealed before there were sketches.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.contract.errors import CheckError
from builder.contract.manifest import Manifest
from builder.contract.names import FIXED_COLUMNS, GROUPS, KEY
from builder.contract.parquet import read_parquet
from builder.contract.paths import dataset_root, resolve, sha256_file
from builder.contract.png import Bytes
from builder.contract.shard import ShardEntry
from builder.contract.sketch import SIDE, SKETCH_BYTES
from builder.contract.texts import Texts

Labels = npt.NDArray[np.int8]

_MAX_ROW_BYTES = 400  # in the file; no honest row comes near it
_MAX_COLUMN_BYTES = 512  # of a label beside its rows and its name: what parquet notes of a column
_NAME_TIMES = 4  # a column's name stands in two schemas, in one of them as base64, and at its pages
MAX_DRAW = (1 << 31) - 1  # of a draw number: readers keep it in four bytes
_MAX_CELL = 100  # bytes of a key, a patient or a word of GROUPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One row per sample, as columns of equal length N, in the order in which they were sealed."""

    key: npt.NDArray[np.object_] | Texts
    split: npt.NDArray[np.object_]  # "train", "val" or "test"
    origin: npt.NDArray[np.object_]  # "real" or "synthetic"
    shard: npt.NDArray[np.object_]  # url of the tar
    offset: npt.NDArray[np.int64]  # first byte of the image member's data in the tar
    size: npt.NDArray[np.int32]  # bytes of the image member
    labels: Labels  # [N, L] in {1, 0, -1}, columns as in Manifest.pathologies
    target: npt.NDArray[np.object_]  # pathology an image was rendered for; "" for real ones
    draw: npt.NDArray[np.int64]  # draw number within the target; -1 for real ones
    patient: npt.NDArray[np.object_] | Texts  # salted hash of the patient; "" for synthetic ones
    view: npt.NDArray[np.object_]  # this and the next two: words of GROUPS; "" if unknown,
    sex: npt.NDArray[np.object_]  # as for synthetic ones
    age: npt.NDArray[np.object_]  # a band of years
    sketch: Bytes  # [N, 16] of `sketch_of`; [N, 0] where they were not sealed

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.key)


def index_root(manifest: Manifest, manifest_path: Path, shards_root: Path | None) -> Path:
    """The root of the index: the manifest's, or the shards' if the index was moved with them."""
    own = dataset_root(manifest_path)
    return own if (own / manifest.index.url).is_file() else shards_root or own


def index_bytes(index: Index, pathologies: Sequence[str]) -> bytes:
    """The parquet file of an index: int8 labels, dictionaries for words, deltas for integers.

    A group that no row knows has no column, nor have sketches that are not there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    groups = [name for name in GROUPS if (getattr(index, name) != "").any()]
    sketched = bool(index.sketch.size)
    schema = _index_schema(pathologies, groups, sketched)
    columns = {name: getattr(index, name) for name in (*FIXED_COLUMNS, *groups)}
    if sketched:
        columns["sketch"] = [row.tobytes() for row in index.sketch]
    columns |= {name: index.labels[:, i] for i, name in enumerate(pathologies)}
    table = pa.table([pa.array(columns[f.name], type=f.type) for f in schema], schema=schema)
    deltas = dict.fromkeys(("offset", "size", "draw"), "DELTA_BINARY_PACKED")
    deltas |= dict.fromkeys(("key", "patient"), "DELTA_BYTE_ARRAY")
    words = ["split", "origin", "shard", "target", *pathologies, *groups]
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", use_dictionary=words, column_encoding=deltas)
    return sink.getvalue()


def max_index_bytes(rows: int, pathologies: Sequence[str]) -> int:
    """The largest file that an index of so many rows with those labels may be."""
    names = sum(len(name.encode()) for name in pathologies)
    columns = _MAX_COLUMN_BYTES * len(pathologies) + _NAME_TIMES * names
    return _MAX_ROW_BYTES * (rows + 100) + columns


def load_index(manifest: Manifest, root: Path) -> Index:
    """The sealed index, in sealed order; CheckError unless it agrees with the manifest.

    Reading takes some 290 bytes of memory for a row of ten million (`benchmarks/scale.py`).
    """
    path = resolve(root, manifest.index.url)
    if not path.is_file():
        raise CheckError(f"The index {manifest.index.url} is missing under {root}.")
    rows = manifest.index.rows
    if path.stat().st_size > max_index_bytes(rows, manifest.pathologies):
        raise CheckError(f"{path} is too large for an index of {rows:,} rows.")
    if sha256_file(path) != manifest.index.sha256:
        raise CheckError(f"The index {manifest.index.url} is not the one sealed: sha256 differs.")
    what = f"The index {manifest.index.url}"
    table = read_parquet(path, what, rows=rows, columns=partial(_check_columns, manifest))
    _check_words(table, manifest)
    _check_keys(Texts(table["key"]), manifest.index.url)
    columns = {name: _column(table[name]) for name in table.column_names if name != "sketch"}
    columns["sketch"] = _sketches(table)
    labels = np.stack([columns.pop(name) for name in manifest.pathologies], axis=1)
    nowhere = np.broadcast_to(np.array("", object), (rows,))  # takes no memory
    unknown = dict.fromkeys(GROUPS, nowhere)
    index = Index(labels=labels, **(unknown | columns))
    _check_index(index, manifest)
    return index


def _check_columns(manifest: Manifest, schema: Any) -> dict[str, int]:
    """The longest text of each column, in bytes; CheckError unless they are an index's columns."""
    groups = [name for name in GROUPS if name in schema.names]
    expected = _index_schema(manifest.pathologies, groups, "sketch" in schema.names)
    if not schema.equals(expected):
        raise CheckError(f"The index {manifest.index.url} has other columns than an index has.")
    longest = {"shard": [shard.url for shard in manifest.shardlist], "target": manifest.pathologies}
    names = ("key", "split", "origin", "shard", "target", "patient", *groups)
    return {
        name: max([_MAX_CELL, *(len(word.encode()) for word in longest.get(name, ()))])
        for name in names
    }


def _index_schema(pathologies: Sequence[str], groups: Sequence[str], sketched: bool) -> Any:
    import pyarrow as pa

    words = pa.dictionary(pa.int32(), pa.string())
    sketch = [("sketch", pa.binary(SKETCH_BYTES))] if sketched else []
    return pa.schema(
        [
            ("key", pa.string()),
            ("split", words),
            ("origin", words),
            ("shard", words),
            ("offset", pa.int64()),
            ("size", pa.int32()),
            *((name, pa.int8()) for name in pathologies),
            ("target", words),
            ("draw", pa.int64()),
            ("patient", pa.string()),
            *((name, words) for name in groups),
            *sketch,
        ]
    )


def _column(column: Any) -> Any:
    """The values of a column; of a dictionary each word is made once, however many rows have it."""
    import pyarrow as pa

    if pa.types.is_string(column.type):
        return Texts(column)
    if not pa.types.is_dictionary(column.type):
        return column.to_numpy()
    parts = [
        chunk.dictionary.to_numpy(zero_copy_only=False)[chunk.indices.to_numpy()]
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.empty(0, object)


def _sketches(table: Any) -> Bytes:
    """uint8 [N, 16] of the column sketch; [N, 0] without it."""
    if "sketch" not in table.column_names:
        return np.empty((len(table), 0), np.uint8)
    column = table["sketch"].combine_chunks()
    start, count = column.offset * SKETCH_BYTES, len(column) * SKETCH_BYTES
    content = np.frombuffer(column.buffers()[1], np.uint8, count, start)
    return content.reshape(-1, SKETCH_BYTES)


def _check_words(table: Any, manifest: Manifest) -> None:
    """CheckError unless the dictionaries of groups and targets, used or not, hold only their words.

    So no reader has to expect another one.
    """
    targets = {"", *manifest.pathologies}
    if not all(targets.issuperset(c.dictionary.to_pylist()) for c in table["target"].chunks):
        raise CheckError(f"{manifest.index.url} holds a target that is none of the pathologies.")
    for name in GROUPS:
        if name not in table.column_names:
            continue
        words = {"", *GROUPS[name]}
        if not all(words.issuperset(c.dictionary.to_pylist()) for c in table[name].chunks):
            raise CheckError(
                f"{manifest.index.url} holds another {name} than {', '.join(GROUPS[name])} or an"
                " empty one."
            )


def _check_keys(keys: Texts, where: str) -> None:
    if not keys.are_distinct():
        raise CheckError(f"{where} holds a key twice.")
    if (bad := keys.first_unlike(KEY.pattern)) is not None:
        raise CheckError(f"{where} holds the key {bad!r}: keys match {KEY.pattern}.")


def _check_index(index: Index, manifest: Manifest) -> None:
    where = manifest.index.url
    if index.labels.size and (index.labels.min() < -1 or index.labels.max() > 1):
        raise CheckError(f"{where} holds a label outside 1, 0, -1.")
    if index.sketch.size and min(manifest.image.height, manifest.image.width) < SIDE:
        raise CheckError(f"{where} holds sketches of images that are too small to have any.")
    start = 0
    for shard in manifest.shardlist:
        rows = slice(start, start + shard.nsamples)
        start = rows.stop
        if not (
            (index.shard[rows] == shard.url).all()
            and (index.split[rows] == shard.split).all()
            and (index.origin[rows] == shard.origin).all()
        ):
            raise CheckError(f"{where} and the manifest disagree about the samples of {shard.url}.")
        _check_draws(index.target[rows], index.draw[rows], shard, where)
        if (
            index.size[rows].min() < 1
            or index.size[rows].max() > manifest.image.max_bytes
            or index.offset[rows].min() < 512
            or (index.offset[rows] > shard.filesize - index.size[rows].astype(np.int64)).any()
        ):
            raise CheckError(f"{where} points outside of {shard.url} or at an oversized image.")


def _check_draws(
    targets: npt.NDArray[np.object_], draws: npt.NDArray[np.int64], shard: ShardEntry, where: str
) -> None:
    """CheckError unless synthetic samples, and only they, have a target and a draw number."""
    if shard.origin == "real":
        if (targets != "").any() or (draws != -1).any():
            raise CheckError(
                f"{where} gives a real image of {shard.url} a target or a draw number."
            )
    elif (targets == "").any() or draws.min() < 0:
        raise CheckError(f"{where} has no target or draw number of an image of {shard.url}.")
    elif draws.max() > MAX_DRAW:
        raise CheckError(f"{where} has a draw number above {MAX_DRAW:,} in {shard.url}.")
