"""The record of a sweep: Optuna's study in a journal or a database."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import GridSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from builder.contract import CheckError, UsageError

Params = dict[str, Any]  # one value for each name of the grid, in the grid's order
Grid = Mapping[str, tuple[Any, ...]]

GRACE = 30  # seconds until a lock on the journal is taken for a dead process's


class Sampler(GridSampler):
    """Optuna's grid without the call of `study.stop()`, which is an error outside `optimize()`."""

    def after_trial(self, *_: Any) -> None:
        """Nothing: the sweep itself sees when every point is finished."""


class JournalLock(JournalFileOpenLock):
    """The lock to write the journal; it cuts off the line that a crash or a full disk left half.

    Optuna would write the next line behind it, and could not read either.
    """

    def __init__(self, journal: Path) -> None:
        """The lock beside the journal."""
        super().__init__(str(journal), grace_period=GRACE)
        self.journal = journal

    def acquire(self) -> bool:
        """True, once the lock is this process's."""
        taken = super().acquire()
        data = self.journal.read_bytes()
        if not data.endswith(b"\n"):
            with self.journal.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
        return taken


def journal(path: Path) -> JournalStorage:
    """The journal in a file; CheckError where it is damaged other than by a half last line."""
    backend = JournalFileBackend(str(path), lock_obj=JournalLock(path))
    try:
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                json.loads(line)
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise CheckError(
            f"{path} is damaged or not a sweep's: delete it and repeat the command; points that"
            " are complete are not trained again."
        ) from None


def database(url: str) -> RDBStorage:
    """The database at `url`, as SQLAlchemy names it; UsageError where it cannot be opened."""
    # A point may take a day: the server has hung up by then. Others may be writing to the file.
    patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True, **patience})
    except (ImportError, RuntimeError, ValueError) as error:  # no driver, another Optuna's tables
        raise UsageError(f"--storage cannot be opened: {error}") from None


def open_study(storage: BaseStorage, name: str, grid: Grid, seed: int) -> optuna.Study:
    """The study `name`, a new one or the one that is there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        sampler=Sampler(grid, seed=seed % 2**32),  # NumPy takes no larger one
        direction="maximize",
        load_if_exists=True,
    )


def agree(study: optuna.Study, facts: Params, out: Path) -> None:
    """Raise UsageError where the study was begun with other facts."""
    now = {name: json.dumps(value) for name, value in facts.items()}
    begun = study.user_attrs.get("identity", {} if study.trials else None)
    if begun is None:
        study.set_user_attr("identity", now)
        return
    for name in now | begun:
        if begun.get(name) != now.get(name):
            raise UsageError(
                f"The sweep in {out} was begun with {name} {begun.get(name)}, now it is"
                f" {now.get(name)}: go on with the same, or choose another --out."
            )
