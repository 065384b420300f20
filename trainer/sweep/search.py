"""Points of the grid, trained one after the other by any number of processes."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from builder.contract import UsageError
from builder.contract.lock import LOCK, hold
from builder.contract.record import as_record
from trainer.progress import say
from trainer.recipe import Recipe
from trainer.sweep.grid import VARIED, Grid, Point
from trainer.sweep.study import agree, database, identity, journal, open_study
from trainer.sweep.trial import Fitted, Trial, best_of

PAUSE = 1.0  # seconds between looks at points that other processes are training


Fit = Callable[[Recipe, Path], Fitted]


def search(
    fit: Fit,
    *,
    grid: Grid,
    out: Path,
    storage: str | None,
    digest: str,
    recipe: Recipe,
    pause: Callable[[float], object] = time.sleep,
) -> tuple[Trial, ...]:
    """The result of every point, in the order of the grid.

    The sweep may be new, interrupted or finished. `fit(recipe, folder)` trains a point, or resumes
    it; on a complete folder it returns the result at once. A UsageError of `fit` means that the
    point failed, and the sweep continues. Everything else, CheckError and the exit after a signal
    included, ends the sweep and leaves the point to the next call.

    `recipe` and the manifest's `digest` must be the same in every call; the grid's values replace
    the recipe's. `storage` is the URL of a database; None: a journal in `out`. `pause(seconds)`
    waits for other processes, and may raise to end the wait.
    """
    points = {point.folder: point for point in grid.points()}
    try:
        with hold(out, wait=pause):  # two processes that create a database at once would collide
            store = journal(out / "sweep.journal") if storage is None else database(storage)
            name = "sweep" if storage is None else out.resolve().name
            study = open_study(store, name, grid, recipe.seed)
            agree(study, identity(digest, recipe, grid), out)
        sweep = Sweep(fit=fit, study=study, grid=grid, points=points, recipe=recipe, out=out)
        trials = sweep.run(pause)
        store.remove_session()
        return trials
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"The database of the sweep failed ({reason}): check --storage and repeat the command."
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the study records of a finished point in addition to Optuna's value."""

    best_epoch: int | None = None
    seconds: float | None = None
    failed: str = ""  # why


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep that is under way. The study and the locks alone say how far it is."""

    fit: Fit
    study: optuna.Study
    grid: Grid
    points: dict[str, Point]  # by folder
    recipe: Recipe
    out: Path

    def run(self, pause: Callable[[float], object]) -> tuple[Trial, ...]:
        """The result of every point, once this or another process has finished the last one."""
        waiting = False
        while len(known := self._known()) < len(self.points):
            left = [name for name in self.points if name not in known]
            begun = self._trials()
            # A begun point without a lock here is another machine's, with an `out` of its own.
            here = [name for name in left if begun[name] and (self.out / name / LOCK).exists()]
            if any(self._claim(name) for name in here):
                waiting = False
            elif len(here) < len(left):
                self._ask()
            elif waiting:
                pause(PAUSE)
            else:
                say(f"Waiting for other processes to finish {', '.join(here)}.")
                waiting = True
        return tuple(known[name] for name in self.points)

    def _trials(self) -> dict[str, list[FrozenTrial]]:
        """Optuna's trials by point, less those killed before they had all parameters."""
        found: dict[str, list[FrozenTrial]] = {name: [] for name in self.points}
        for trial in self.study.get_trials(deepcopy=False):
            if trial.params.keys() == {*VARIED}:
                found[self._folder(trial)].append(trial)
        return found

    def _folder(self, trial: FrozenTrial | optuna.Trial) -> str:
        what = f"The record of the sweep in {self.out}"
        return as_record(trial.params, Point, what).folder

    def _known(self) -> dict[str, Trial]:
        """The finished points by folder."""
        notes, known = self.study.user_attrs, {}
        for name, trials in self._trials().items():
            if done := [trial for trial in trials if trial.state.is_finished()]:
                what = f"The record of {name} in {self.out}"
                note = as_record(notes.get(name, {}), Note, what, exact=False)
                value = next((t.value for t in done if t.state == TrialState.COMPLETE), None)
                why = note.failed or "It was marked as failed by hand."
                known[name] = Trial(
                    params=self.points[name],
                    folder=name,
                    val_auc=value,
                    best_epoch=note.best_epoch,
                    seconds=note.seconds,
                    failed="" if value is not None else why,
                )
        return known

    def _ask(self) -> None:
        """Train the point that Optuna chooses, unless another process holds it already."""
        choices = {name: CategoricalDistribution(v) for name, v in asdict(self.grid).items()}
        self._claim(self._folder(self.study.ask({**choices})))

    def _claim(self, name: str) -> bool:
        """Whether the point's lock was free; if so, the point is now finished."""
        with hold(self.out / name, wait=None) as held:
            if held:  # by now another process may have finished it
                self._tell(self._known().get(name) or self._train(name))
            return held

    def _train(self, name: str) -> Trial:
        point = self.points[name]
        self._announce(point)
        try:
            found = self.fit(point.apply(self.recipe), self.out / name)
        except UsageError as error:
            failed = str(error)
        else:
            if math.isfinite(found.val_auc):
                return Trial(params=point, folder=name, **asdict(found))
            failed = "The validation AUC is not a number."
        say(f"{name} failed: {failed}")
        return Trial(params=point, folder=name, failed=failed)

    def _announce(self, point: Point) -> None:
        known = self._known()
        line = f"[{len(known) + 1}/{len(self.points)}] {point}"
        if best := best_of([known[name] for name in self.points if name in known]):
            line += f" (best so far: {best.val_auc:.3f} with {best.params})"
        say(line)

    def _tell(self, trial: Trial) -> None:
        """Record the point's result, also in its trials that dead processes left unfinished."""
        note = Note(best_epoch=trial.best_epoch, seconds=trial.seconds, failed=trial.failed)
        self.study.set_user_attr(trial.folder, asdict(note))
        state = TrialState.FAIL if trial.failed else TrialState.COMPLETE
        for begun in self._trials()[trial.folder]:
            if not begun.state.is_finished():
                self.study.tell(begun.number, trial.val_auc, state, skip_if_finished=True)
