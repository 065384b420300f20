"""A point of the grid, and which of several came best."""

from collections.abc import Sequence
from dataclasses import dataclass

from builder.contract import UsageError
from trainer.sweep.study import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What the training of a point found; its seconds are the sum over all interruptions."""

    val_auc: float  # of the best epoch
    best_epoch: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a point of the grid came to."""

    params: Params
    folder: str  # its name in `out`
    val_auc: float | None = None  # None: it failed
    best_epoch: int | None = None
    seconds: float | None = None
    failed: str = ""  # why


def winner(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest validation AUC; among equals the first of the grid."""
    if best := best_of(trials):
        return best
    reason = trials[0].failed
    raise UsageError(f"All {len(trials)} points of the sweep failed, the first of them: {reason}")


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest validation AUC; None where all failed."""
    there = [trial for trial in trials if trial.val_auc is not None]
    return max(there, key=lambda trial: trial.val_auc or 0.0, default=None)
