"""What a run notes of each epoch: losses, speed, and the proof that every image was seen.

history.csv    losses and validation AUCs; the same for the same run
timing.csv     seconds, images/s and the share of the time spent waiting for data
receipts.csv   how many images and rows were asked for and seen, and the sha256 of their order
unread.csv     images that could not be read (--skip-bad), if there are any
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from builder.contract import CheckError, Index, sha256_bytes
from builder.contract.spreadsheet import as_text
from trainer.stream.order import Rows, coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One row of the history; losses are means over the known labels."""

    epoch: int  # from 1
    train_loss: float
    val_loss: float
    val_auc_mean: float | None  # over the pathologies with both classes; None: no pathology has
    val_auc: tuple[float | None, ...]  # per pathology


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How fast the training steps of an epoch were; validation is not counted."""

    epoch: int
    seconds: float
    images_per_second: float
    data_wait: float  # share of the seconds spent waiting for batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that an epoch showed each row exactly as often as its order asks."""

    epoch: int
    images: int
    rows: int  # different rows among them
    unread: int  # shown blank, their labels unknown
    order: str  # sha256 of the row numbers, int64 in order


def receipt(epoch: int, asked: Rows, seen: npt.NDArray[np.int32], unread: int) -> Receipt:
    """The receipt of an epoch; `seen` [N] counts each row. CheckError where a count differs."""
    wrong = np.flatnonzero(seen != coverage(asked, len(seen)))
    if len(wrong):
        raise CheckError(
            f"Epoch {epoch} did not show what it should: row {wrong[0]} of the index came"
            f" {seen[wrong[0]]} times, and {len(wrong)} rows in all are wrong."
        )
    return Receipt(
        epoch=epoch,
        images=len(asked),
        rows=int((seen > 0).sum()),
        unread=unread,
        order=sha256_bytes(asked.astype("<i8").tobytes()),
    )


def best_epoch(history: Sequence[Epoch], choose_from: int = 1) -> Epoch:
    """The epoch with the highest mean validation AUC.

    Among equal AUCs, or without any, the epoch with the lowest validation loss. Epochs before
    `choose_from` count only while there is no other.
    """
    rows = [row for row in history if row.epoch >= choose_from] or history
    return max(rows, key=lambda row: (row.val_auc_mean or 0.0, -row.val_loss))


def history_csv(history: Sequence[Epoch], pathologies: Sequence[str]) -> bytes:
    """The file history.csv."""
    header = ["epoch", "train_loss", "val_loss", "val_auc_mean"]
    header += [f"val_auc:{name}" for name in pathologies]
    return _table(header, [(*astuple(row)[:-1], *row.val_auc) for row in history])


def rows_csv(rows: Sequence[Timing] | Sequence[Receipt]) -> bytes:
    """The file timing.csv or receipts.csv; there is at least one row."""
    header = [column.name for column in fields(rows[0])]
    return _table(header, [astuple(row) for row in rows])


def unread_csv(unread: Mapping[int, str], index: Index) -> bytes:
    """The file unread.csv; `unread`: reason by row."""
    rows = [(index.key[row], index.shard[row], unread[row]) for row in sorted(unread)]
    return _table(["key", "shard", "reason"], rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return as_text(value)
    return round(value, 6) if isinstance(value, float) else value
