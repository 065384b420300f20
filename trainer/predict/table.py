"""Rows of names and probabilities into a CSV or parquet file that is complete or absent."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch

from builder.contract import UsageError

AT_ONCE = 1 << 14  # rows that are written together: a row group in parquet
WRITERS: dict[str, Any] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": partial(pyarrow.parquet.ParquetWriter, compression="zstd"),
}


def check_suffix(out: Path) -> None:
    """Raise UsageError unless the name of `out` says which kind of table it is."""
    if out.suffix not in WRITERS:
        raise UsageError(f"--out {out}: the name should end in {' or '.join(WRITERS)}.")


class Rows:
    """Rows that wait until there are enough to write."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        """`writer` takes tables of that schema."""
        self._writer, self._schema = writer, schema
        self._waiting: list[pa.RecordBatch] = []

    def add(self, words: dict[str, Sequence[str]], probabilities: torch.Tensor) -> None:
        """Append rows [B]."""
        columns = [*words.values(), *probabilities.T.numpy()]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
        self._waiting.append(pa.record_batch(arrays, schema=self._schema))
        if sum(map(len, self._waiting)) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting = []


@contextmanager
def table(out: Path, words: Sequence[str], names: Sequence[str]) -> Iterator[Rows]:
    """Rows for the file `out`: columns of `words`, then a float32 one for each of `names`.

    The file appears when the block ends well; otherwise nothing is left.
    """
    fields = [*((word, pa.string()) for word in words), *((name, pa.float32()) for name in names)]
    schema = pa.schema(fields)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        with temporary.open("wb") as file:
            with WRITERS[out.suffix](file, schema) as writer:
                rows = Rows(writer, schema)
                yield rows
                rows.flush()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
