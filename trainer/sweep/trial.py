"""The result of a point of the grid, of the whole sweep, and which point is the best."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.contract import UsageError
from builder.contract.record import read_record
from trainer.sweep.grid import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The result of training a point; its seconds are the sum over all interruptions."""

    val_auc: float  # of the best epoch
    best_epoch: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The result of a point of the grid."""

    params: Point
    folder: str  # its name in `out`
    val_auc: float | None = None  # None: it failed
    best_epoch: int | None = None
    seconds: float | None = None
    failed: str = ""  # why


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """The content of sweep.json."""

    best: str | None  # the folder of the best point; None: all failed
    points: tuple[Trial, ...]  # in the order of the grid


def load_sweep(out: Path) -> SweepResult:
    """The result of the sweep in `out`; CheckError where sweep.json is missing or damaged."""
    return read_record(out / "sweep.json", SweepResult, exact=False)


def winner(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest validation AUC; among equals the first of the grid."""
    if best := best_of(trials):
        return best
    reason = trials[0].failed
    raise UsageError(f"All {len(trials)} points of the sweep failed, the first of them: {reason}")


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest validation AUC; None where all failed."""
    complete = [trial for trial in trials if trial.val_auc is not None]
    return max(complete, key=lambda trial: trial.val_auc or 0.0, default=None)
