"""Points of the grid, trained one after the other by any number of processes."""

import itertools
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from builder.contract import UsageError
from builder.contract.lock import LOCK, hold
from trainer.sweep.study import Grid, Params, agree, database, journal, open_study
from trainer.sweep.trial import Fitted, Trial, best_of

PAUSE = 1.0  # seconds between looks at points that are in others' hands


Fit = Callable[[Params, Path], Fitted]


def search(
    fit: Fit,
    *,
    grid: Grid,
    out: Path,
    storage: str | None,
    identity: Params,
    seed: int,
    pause: Callable[[float], object] = time.sleep,
) -> tuple[Trial, ...]:
    """What every point came to, in the order of the grid; begun, interrupted or finished before.

    `fit(params, folder)` trains a point or goes on with it; on a complete folder it returns at
    once what it found. Its UsageError is the point's failure, and the sweep goes on. All else, a
    CheckError and the exit code of a signal included, ends the sweep and leaves the point to the
    next call. `identity` must be the same then. `storage` is the URL of a database; None: a
    journal in `out`. `pause` waits some seconds for other processes, and may raise to end that.
    """
    points = [dict(zip(grid, v, strict=True)) for v in itertools.product(*grid.values())]
    named = {_folder(params): params for params in points}
    if len(named) < len(points):
        raise UsageError("The grid has a value twice: give each value once.")
    facts = identity | {f"grid {name}": list(values) for name, values in grid.items()}
    try:
        with hold(out, wait=pause):  # two that make a database at once get in each other's way
            store = journal(out / "sweep.journal") if storage is None else database(storage)
            record = open_study(
                store, "sweep" if storage is None else out.resolve().name, grid, seed
            )
            agree(record, facts | {"seed": seed}, out)
        found = Sweep(fit=fit, study=record, grid=grid, points=named, out=out).run(pause)
        store.remove_session()
        return found
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"The database of the sweep failed ({reason}): check --storage and repeat the command."
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The points on their way. What is known of them lies in the study and the locks alone."""

    fit: Fit
    study: optuna.Study
    grid: Grid
    points: dict[str, Params]  # by folder
    out: Path

    def run(self, pause: Callable[[float], object]) -> tuple[Trial, ...]:
        """What every point came to, once the last one is finished, here or by another process."""
        waiting = False
        while len(known := self._known()) < len(self.points):
            left = [name for name in self.points if name not in known]
            begun = self._trials()
            # Begun, but without a lock in this `out`: by a machine with an `out` of its own, say.
            here = [name for name in left if begun[name] and (self.out / name / LOCK).exists()]
            if any(self._claim(name) for name in here):
                waiting = False
            elif len(here) < len(left):
                self._ask()
            elif waiting:
                pause(PAUSE)
            else:
                _say(f"Waiting for other processes to finish {', '.join(here)}.")
                waiting = True
        return tuple(known[name] for name in self.points)

    def _trials(self) -> dict[str, list[FrozenTrial]]:
        """Optuna's trials of every point; one killed before it had its parameters is of none."""
        found: dict[str, list[FrozenTrial]] = {name: [] for name in self.points}
        for trial in self.study.get_trials(deepcopy=False):
            if trial.params.keys() == self.grid.keys():
                found[self._name(trial.params)].append(trial)
        return found

    def _name(self, params: Params) -> str:
        return _folder({name: params[name] for name in self.grid})

    def _known(self) -> dict[str, Trial]:
        """The finished points."""
        facts, known = self.study.user_attrs, {}
        for name, trials in self._trials().items():
            if done := [trial for trial in trials if trial.state.is_finished()]:
                fact = facts.get(name, {})
                value = next((t.value for t in done if t.state == TrialState.COMPLETE), None)
                why = fact.get("failed") or "It was marked as failed by hand."
                known[name] = Trial(
                    params=self.points[name],
                    folder=name,
                    val_auc=value,
                    best_epoch=fact.get("best_epoch"),
                    seconds=fact.get("seconds"),
                    failed="" if value is not None else why,
                )
        return known

    def _ask(self) -> None:
        """Take up the point that Optuna gives, unless another process holds it already."""
        choices: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in self.grid.items()
        }
        self._claim(self._name(self.study.ask(choices).params))

    def _claim(self, name: str) -> bool:
        """Whether the point's lock was free; if so, the point is now finished."""
        with hold(self.out / name, wait=None) as held:
            if held:  # by now another process may have finished it
                self._tell(self._known().get(name) or self._train(name))
            return held

    def _train(self, name: str) -> Trial:
        params = self.points[name]
        self._announce(params)
        try:
            found = self.fit(dict(params), self.out / name)
        except UsageError as error:
            failed = str(error)
        else:
            if math.isfinite(found.val_auc):
                return Trial(params=params, folder=name, **asdict(found))
            failed = "The validation AUC is not a number."
        _say(f"{name} failed: {failed}")
        return Trial(params=params, folder=name, failed=failed)

    def _announce(self, params: Params) -> None:
        known = self._known()
        line = f"[{len(known) + 1}/{len(self.points)}] {_words(params)}"
        if best := best_of([known[name] for name in self.points if name in known]):
            line += f" (best so far: {best.val_auc:.3f} with {_words(best.params)})"
        _say(line)

    def _tell(self, trial: Trial) -> None:
        """Have the study know it, and every trial of the point that a dead process left."""
        facts = {"best_epoch": trial.best_epoch, "seconds": trial.seconds, "failed": trial.failed}
        self.study.set_user_attr(trial.folder, facts)
        state = TrialState.FAIL if trial.failed else TrialState.COMPLETE
        for begun in self._trials()[trial.folder]:
            if not begun.state.is_finished():
                self.study.tell(begun.number, trial.val_auc, state, skip_if_finished=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _folder(params: Params) -> str:
    return "-".join(str(v) if isinstance(v, str) else f"{name}{v}" for name, v in params.items())


def _words(params: Params) -> str:
    return ", ".join(str(v) if isinstance(v, str) else f"{name} {v}" for name, v in params.items())
