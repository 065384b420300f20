"""The files of a run: their names, its tables, and what it noted.

config.json             what was asked, resolved (recipe.py)
last.pt                 all that is needed to resume (checkpoint.py)
best.safetensors        the weights of the best epoch so far (builder.contract.weights)
history.csv …           what history.py says
report.json …           what the best weights scored (trainer.report)
"""

from collections.abc import Sequence
from pathlib import Path

from builder.contract import Index, UsageError, write_last
from trainer.fit.checkpoint import Notes, RunState, read_notes
from trainer.fit.history import history_csv, rows_csv, unread_csv
from trainer.recipe import CONFIG


class RunFolder:
    """A folder for the files of one run; each of them is complete or absent."""

    def __init__(self, path: Path) -> None:
        """The folder `path`; it need not exist yet."""
        self.path = path
        self.config = path / CONFIG
        self.last = path / "last.pt"
        self.weights = path / "best.safetensors"
        self.history = path / "history.csv"
        self.timing = path / "timing.csv"
        self.receipts = path / "receipts.csv"
        self.unread = path / "unread.csv"
        self.predictions = path / "predictions.parquet"
        self.report = path / "report.json"
        self.summary = path / "report.md"
        self.curves = path / "curves.png"

    def is_begun(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return self.last.is_file()

    def save_tables(self, state: RunState, pathologies: Sequence[str], index: Index) -> None:
        """Write history.csv and, where there are rows for them, the other tables."""
        write_last(self.history, history_csv(state.history, pathologies))
        for path, rows in ((self.timing, state.timings), (self.receipts, state.receipts)):
            if rows:
                write_last(path, rows_csv(rows))
        self.save_unread(state.unread, index)

    def save_unread(self, unread: dict[int, str], index: Index) -> None:
        """Write unread.csv if an image could not be read; `unread`: reason by row."""
        if unread:
            write_last(self.unread, unread_csv(unread, index))

    def load_notes(self) -> Notes:
        """What last.pt holds apart from tensors, once an epoch is finished; or UsageError."""
        if not self.is_begun():
            raise UsageError(f"{self.last} is missing: name the folder of a run that xtrain made.")
        notes = read_notes(self.last)
        if not notes.history:
            raise UsageError(
                f"{self.last} has no finished epoch yet: finish the run with xtrain fit --resume."
            )
        return notes
