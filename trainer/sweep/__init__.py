"""A grid → a run for each point, the best point by validation AUC, tables and a picture.

Any number of processes, on every machine that sees `out` and the storage, share the points. The
process that trains a point holds the lock in its folder. A point that was begun and whose lock is
free was left by a dead process; the next process resumes it.

    out/sweep.journal                what was begun and finished, unless a database records it
    out/lr0.01-batch16-momentum/     the run of a point, one folder each
    out/sweep.json .csv .md .png     every point; the best one is marked

`search`, which needs Optuna, is imported by those who search.

A point that failed is not tried again until sweep.journal is deleted; complete points remain.
"""

from trainer.sweep.grid import GRID, VARIED, Grid, Point
from trainer.sweep.show import markdown, picture, save
from trainer.sweep.trial import Fitted, SweepResult, Trial, load_sweep, winner

__all__ = [
    "GRID",
    "VARIED",
    "Fitted",
    "Grid",
    "Point",
    "SweepResult",
    "Trial",
    "load_sweep",
    "markdown",
    "picture",
    "save",
    "winner",
]
