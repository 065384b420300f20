"""Paths → the folders of runs at or below them: complete ones, and those that are not."""

from collections.abc import Iterable
from pathlib import Path

from builder.contract import UsageError, in_short
from trainer.fit.run_folder import RunFolder

NAMED = 3  # folders that a sentence names before it counts the others
OF_A_SWEEP = ("sweep.journal", "sweep.json")  # beside its points, of which most are never tested


def find_runs(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The folders of complete runs at or below the paths, each once.

    UsageError where there is none at or below one of them.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        below = sorted(file.parent for file in path.rglob(RunFolder(path).predictions.name))
        if not below:
            begun = unfinished([path])
            why = "name folders that xtrain fit wrote"
            if begun:
                why = f"{in_short(begun, NAMED)} must first be finished with xtrain fit --resume"
            raise UsageError(f"{path} holds no complete run of xtrain: {why}.")
        found |= {folder.resolve(): folder for folder in below}
    return tuple(found.values())


def unfinished(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The folders at or below the paths of runs that were begun and not tested, each once.

    The points of a sweep are none: it tests its best one alone.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in sorted(path.rglob(RunFolder(path).last.name)):
            folder = file.parent
            swept = any((folder.parent / name).exists() for name in OF_A_SWEEP)
            if not swept and not RunFolder(folder).predictions.exists():
                found[folder.resolve()] = folder
    return tuple(found.values())
