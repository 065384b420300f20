"""The record of a sweep: Optuna's study in a journal or a database."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import optuna
from optuna.samplers import GridSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from builder.contract import CheckError, UsageError
from builder.contract.record import as_record, parse_json
from trainer.recipe import BEFORE, Recipe, but_for_before
from trainer.sweep.grid import VARIED, Grid

GRACE = 30  # seconds after which a lock on the journal counts as left by a dead process


class Sampler(GridSampler):
    """Optuna's grid without the call of `study.stop()`, which is an error outside `optimize()`."""

    def after_trial(self, *_: object) -> None:
        """Do nothing: the sweep itself sees when every point is finished."""


class JournalLock(JournalFileOpenLock):
    """The lock to write the journal; it removes a last line that a crash or full disk cut short.

    Optuna would append the next line to the cut one, and could read neither of them.
    """

    def __init__(self, journal: Path) -> None:
        """The lock of the journal in that file."""
        super().__init__(str(journal), grace_period=GRACE)
        self.journal = journal

    def acquire(self) -> bool:
        """True, once this process has the lock."""
        taken = super().acquire()
        data = self.journal.read_bytes()
        if not data.endswith(b"\n"):
            with self.journal.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
        return taken


def journal(path: Path) -> JournalStorage:
    """The journal in a file; CheckError where more than its last line is damaged."""
    backend = JournalFileBackend(str(path), lock_obj=JournalLock(path))
    try:
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                parse_json(line, "A line")
        return JournalStorage(backend)
    except (CheckError, ValueError, KeyError, TypeError, AssertionError):
        raise CheckError(
            f"{path} is damaged or not the journal of a sweep: delete it and repeat the command;"
            " complete points are not trained again."
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
    """The study `name`, created if it does not exist."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        sampler=Sampler(asdict(grid), seed=seed % 2**32),  # NumPy takes no larger seed
        direction="maximize",
        load_if_exists=True,
    )


def identity(digest: str, recipe: Recipe, grid: Grid) -> dict[str, str]:
    """What all calls of a sweep have in common: JSON texts by name.

    `digest` is the manifest's. Of the recipe, the fields that the grid varies do not count, nor
    do those that are as in every sweep of before.
    """
    fixed = {n: value for n, value in but_for_before(recipe).items() if n not in VARIED}
    varied = {f"grid {name}": values for name, values in asdict(grid).items()}
    return _texts({"manifest": digest} | fixed | varied)


def _texts(facts: Mapping[str, object]) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in facts.items()}


def agree(study: optuna.Study, facts: dict[str, str], out: Path) -> None:
    """Raise UsageError where the study in `out` was begun with another identity."""
    recorded = study.user_attrs.get("identity", {} if study.trials else None)
    if recorded is None:
        study.set_user_attr("identity", facts)
        return
    known = as_record(recorded, dict[str, str], f"The identity of the sweep in {out}")
    begun, now = _texts(BEFORE) | known, _texts(BEFORE) | facts
    for name in facts | begun:
        if begun.get(name) != now.get(name):
            raise UsageError(
                f"The sweep in {out} was begun with {name} {begun.get(name)}, now it is"
                f" {now.get(name)}: repeat the command with the same value, or choose another"
                " --out."
            )
