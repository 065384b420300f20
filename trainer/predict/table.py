"""Rows of texts and probabilities into a CSV or parquet file that is complete or absent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Protocol, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch

from builder.contract import UsageError
from builder.contract.new_file import new_file, remove_leftovers
from builder.contract.spreadsheet import as_text

AT_ONCE = 1 << 14  # rows that are written together: a row group in parquet


class Sink(Protocol):
    """What pyarrow's writers have in common."""

    def __enter__(self) -> Self:
        """The writer; leaving it ends the file."""

    def __exit__(self, *error: object) -> None:
        """End the file."""

    def write_table(self, table: pa.Table) -> None:
        """Append the rows of a table."""


WRITERS: Mapping[str, Callable[[IO[bytes], pa.Schema], Sink]] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": partial(pyarrow.parquet.ParquetWriter, compression="zstd"),
}


def check_suffix(out: Path) -> None:
    """Raise UsageError unless the name of `out` says which kind of table it is."""
    if out.suffix not in WRITERS:
        raise UsageError(f"--out {out}: the name should end in {' or '.join(WRITERS)}.")


class TableWriter:
    """Rows that wait until there are enough to write."""

    def __init__(self, sink: Sink, schema: pa.Schema, spelt: Callable[[str], str]) -> None:
        """`sink` takes tables of that schema; `spelt` is how a text stands in them."""
        self._sink, self._schema, self._spelt = sink, schema, spelt
        self._waiting: list[pa.RecordBatch] = []

    def add(self, texts: Mapping[str, Sequence[str]], probabilities: torch.Tensor) -> None:
        """Append B rows: `texts` [B] by column, `probabilities` float32 [B, L]."""
        words = [[*map(self._spelt, text)] for text in texts.values()]
        columns = [*words, *probabilities.T.numpy()]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
        self._waiting.append(pa.record_batch(arrays, schema=self._schema))
        if sum(map(len, self._waiting)) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._sink.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting = []


@contextmanager
def open_table(out: Path, texts: Sequence[str], names: Sequence[str]) -> Iterator[TableWriter]:
    """A writer of the file `out`: the text columns `texts`, then a float32 one per name.

    The file appears when the block ends well; otherwise nothing is left.
    """
    fields = [*((text, pa.string()) for text in texts), *((name, pa.float32()) for name in names)]
    schema = pa.schema(fields)
    remove_leftovers(out.parent)
    with new_file(out) as file, WRITERS[out.suffix](file, schema) as sink:
        writer = TableWriter(sink, schema, as_text if out.suffix == ".csv" else str)
        yield writer
        writer.flush()
