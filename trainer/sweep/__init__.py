"""What every point of a grid came to, the best by validation AUC, as tables and a picture.

Any number of processes, on every machine that sees `out` and the storage, share the points. Who
trains a point holds the lock in its folder: one that was begun and whose lock is free was left by
a process that is dead, and the next to come goes on with it.

    out/sweep.journal                what was begun and finished, unless a database records it
    out/lr0.01-batch16-momentum/     the run of a point, one folder each
    out/sweep.json .csv .md .png     every point; the best one is marked

A point that failed is not tried again until sweep.journal is deleted; what is complete stays so.
"""

from trainer.sweep.search import search
from trainer.sweep.show import markdown, picture, save
from trainer.sweep.study import Grid
from trainer.sweep.trial import Fitted, Trial, winner

GRID: Grid = {  # the paper's
    "lr": (1e-2, 5e-3, 1e-3),
    "batch": (16, 32, 64),
    "optimizer": ("momentum", "adam"),
}

__all__ = [
    "GRID",
    "Fitted",
    "Grid",
    "Trial",
    "markdown",
    "picture",
    "save",
    "search",
    "winner",
]
