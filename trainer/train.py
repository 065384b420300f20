"""The pipeline: manifest → stream → fit → evaluate → report; once, or for each point of a grid."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from builder.contract import CheckError, UsageError, write_last
from builder.contract.lock import hold
from builder.contract.precision import Precision
from builder.contract.record import to_json
from builder.contract.weights import load_into, read_header
from trainer import report
from trainer.arms import Arm, make_arm
from trainer.claim import check_out, check_trainable, claim
from trainer.config import RunPlan, as_trained, describe
from trainer.evaluate.external_scores import is_scored, score_external
from trainer.evaluate.scores import evaluate
from trainer.fit.checkpoint import RunState
from trainer.fit.control import Control, Place
from trainer.fit.devices import connect
from trainer.fit.fabric import Fabric
from trainer.fit.history import best_epoch
from trainer.fit.loop import fit
from trainer.fit.run_folder import RunFolder
from trainer.fit.track import require, trackers
from trainer.model import build_for
from trainer.predict import load_classifier
from trainer.recipe import Recipe, RunConfig
from trainer.report import RunReport
from trainer.stream.batches import Dataset, batches, open_dataset
from trainer.stream.locate import Located, locate
from trainer.stream.order import Rows
from trainer.sweep import Fitted, Grid, Trial, winner
from trainer.sweep import save as save_sweep

SCORING: Precision = "fp32"  # whatever the training had: its device need not be here


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What every run on a dataset shares, after all of it has been checked."""

    plan: RunPlan
    data: Dataset
    fabric: Fabric
    control: Control

    def fit(self, plan: RunPlan) -> RunState:
        """The state after the last epoch; the run's files lie in `plan.out`."""
        data, recipe, out = self.data, plan.recipe, plan.out
        arm, config = self.arm(recipe), self.describe(plan)
        model = build_for(data.manifest, recipe)
        names = plan.machine.track if self.fabric.is_global_zero else ()
        opened = trackers(names, out=out, name=out.name, config=config, resume=plan.resume)
        place = replace(self.place(out), trackers=opened)
        try:
            return fit(data, arm, model, config, place, resume=plan.resume)
        finally:
            for tracker in opened:
                tracker.close()

    def arm(self, recipe: Recipe) -> Arm:
        """The arm of a recipe on this dataset."""
        return make_arm(recipe, self.data)

    def describe(self, plan: RunPlan) -> RunConfig:
        """What config.json holds of a run on this dataset and device."""
        return describe(plan, self.data.manifest, self.fabric)

    def place(self, out: Path) -> Place:
        """Where a run computes and writes."""
        workers = self.plan.machine.workers
        return Place(out=out, fabric=self.fabric, control=self.control, workers=workers)


def train(plan: RunPlan, found: Located) -> RunReport:
    """The report of a run on the dataset that `plan` names; its files lie in `plan.out`.

    Nothing is written before the dataset (the test images included) and the weights to start from
    have been checked. UsageError and CheckError say in one sentence what was wrong.
    """
    with prepared(plan, found) as ready, claim(plan.out, ready.fabric):
        ready.fit(plan)
        told = score(ready, plan)
        _score_elsewhere(plan, ready.place(plan.out), told)
        return told


def score_elsewhere(plan: RunPlan) -> None:
    """Score the complete run in `plan.out` on those of its external tests that it was not yet."""
    found = report.load_report(plan.out)
    with connect(plan.machine.device, SCORING) as fabric, claim(plan.out, fabric):
        control = Control(fabric, plan.machine.save_every)
        place = Place(out=plan.out, fabric=fabric, control=control, workers=plan.machine.workers)
        with control.listening():
            _score_elsewhere(plan, place, found)


def _score_elsewhere(plan: RunPlan, place: Place, found: RunReport, *, again: bool = False) -> None:
    manifest, epoch = found.manifest.digest, found.best_epoch
    left = [
        test
        for test in plan.tests
        if again or not is_scored(plan.out, test, manifest=manifest, epoch=epoch)
    ]
    if not left:
        return
    path = RunFolder(plan.out).weights
    header, classifier = read_header(path), load_classifier(path, place.fabric.device)
    if (header.manifest, header.epoch) != (manifest, epoch):
        raise CheckError(f"{path} does not hold the weights of epoch {epoch} of its run.")
    for test in left:
        located = locate(test.shards, None, plan.machine.cache)
        if located.manifest.digest != test.digest:
            raise CheckError(f"--test {test.shards} has changed meanwhile: repeat the command.")
        workers = plan.machine.workers
        with open_dataset(located, workers=workers, skip_bad=plan.skip_bad, prove=False) as data:
            score_external(
                data,
                classifier.model,
                test,
                place,
                pathologies=classifier.pathologies,
                seed=plan.recipe.seed,
                min_positives=plan.min_positives,
                manifest=manifest,
                epoch=epoch,
            )


def sweep(
    plan: RunPlan, found: Located, grid: Grid, storage: str | None
) -> tuple[tuple[Trial, ...], RunReport]:
    """Every point of the grid, and the report of the best of them by validation AUC.

    Only the best point is scored on the test images, once. Each point is a run in a folder of its
    own below `plan.out`, and is resumed where it was interrupted. Tables and a picture lie in
    `plan.out`.
    """
    try:
        from trainer.sweep.search import search  # Optuna and SQLAlchemy, which nothing else needs
    except ImportError as error:
        raise UsageError(
            f"xtrain sweep needs {error.name}, which is not installed: pip install optuna."
        ) from None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "A sweep runs in one process: start several of them on one --storage instead."
        )
    with prepared(plan, found, runs=False) as ready:
        pause = ready.control.sleep
        _check_choice(ready.data)

        def point(recipe: Recipe, folder: Path) -> Fitted:
            with claim(folder, ready.fabric):
                state = ready.fit(replace(plan, recipe=recipe, out=folder, resume=True))
            best = best_epoch(state.history, ready.arm(recipe).choose_from)
            seconds = sum(timing.seconds for timing in state.timings)
            return Fitted(val_auc=best.val_auc_mean or 0.0, best_epoch=best.epoch, seconds=seconds)

        trials = search(
            point,
            grid=grid,
            out=plan.out,
            storage=storage,
            digest=ready.data.manifest.digest,
            recipe=plan.recipe,
            pause=pause,
        )
        save_sweep(trials, plan.out, pause)  # `pause`: the processes end together
        best = winner(trials)
        chosen = replace(plan, recipe=best.params.apply(plan.recipe), out=plan.out / best.folder)
        with hold(chosen.out, wait=pause), claim(chosen.out, ready.fabric):
            return trials, _score_once(ready, chosen)


def _check_choice(data: Dataset) -> None:
    """Raise UsageError where no pathology has both classes in val: nothing can be chosen by it."""
    labels = data.index.labels[data.rows("val")]
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        raise UsageError("No pathology has both classes in val, so no point could be the best one.")


def _score_once(ready: Ready, plan: RunPlan) -> RunReport:
    """The winner's report; one that exists is kept, so that the test images are scored once."""
    if RunFolder(plan.out).report.is_file():
        found = report.load_report(plan.out)
        if found.epochs == plan.recipe.epochs:  # not the report of an earlier, shorter run
            return found
    return score(ready, plan)


def rescore(plan: RunPlan, found: Located) -> RunReport:
    """The report of the run in `plan.out`, scored again and written again, on its tests, too."""
    RunFolder(plan.out).load_notes()  # or there is no run
    scoring = replace(plan, resume=True, recipe=replace(plan.recipe, precision=SCORING))
    with prepared(scoring, found) as ready, claim(plan.out, ready.fabric):
        told = score(ready, plan)
        _score_elsewhere(plan, ready.place(plan.out), told, again=True)
        return told


def score(ready: Ready, plan: RunPlan) -> RunReport:
    """The report of the run in `plan.out`, with its best weights scored on val and test."""
    data, recipe, folder = ready.data, plan.recipe, RunFolder(plan.out)
    arm, notes = ready.arm(recipe), folder.load_notes()
    model = _best(ready, plan, epoch=best_epoch(notes.history, arm.choose_from).epoch)
    evaluation = evaluate(
        data,
        model,
        ready.place(plan.out),
        seed=recipe.seed,
        min_positives=plan.min_positives,
    )
    config, command = as_trained(plan)
    found = report.gather(data, arm, config, notes.history, evaluation, command=command)
    if ready.fabric.is_global_zero:
        curves = report.curves(found, notes.history, data.manifest.pathologies)
        folder.save_unread(notes.unread | evaluation.unread, data.index)
        write_last(folder.predictions, evaluation.predictions)
        write_last(folder.summary, report.markdown(found).encode())
        write_last(folder.curves, curves)
        write_last(folder.report, to_json(found).encode())
    ready.fabric.barrier()
    return found


def _best(ready: Ready, plan: RunPlan, *, epoch: int) -> nn.Module:
    """The network with the weights of the best epoch, if they are this run's on this dataset."""
    path, manifest = RunFolder(plan.out).weights, ready.data.manifest
    if not path.is_file():
        raise UsageError(f"{path} is missing: train the run again, in another --out.")
    header = read_header(path)
    if header.manifest != manifest.digest:
        raise UsageError(
            f"{plan.out} was trained on the manifest {header.manifest}, and {manifest.name} is"
            f" {manifest.digest}: for another dataset use xtrain predict."
        )
    if header.epoch != epoch:
        raise CheckError(
            f"{path} holds epoch {header.epoch}, and the best one of the run is {epoch}:"
            " finish the run with xtrain fit --resume."
        )
    model = build_for(manifest, replace(plan.recipe, init="random"))
    load_into(model, path)
    return model.to(ready.fabric.device)


@contextmanager
def prepared(plan: RunPlan, found: Located, *, runs: bool = True) -> Iterator[Ready]:
    """Dataset and device, checked; from here on SIGINT and SIGTERM become Stopped.

    `runs`: `plan.out` is the folder of a run, not of a sweep.
    """
    require(plan.machine.track)
    check_trainable(found.manifest, plan.shards, plan.recipe.network)
    if runs:
        check_out(plan.out, resume=plan.resume)
    with (
        connect(plan.machine.device, plan.recipe.precision) as fabric,
        open_dataset(
            found,
            workers=plan.machine.workers,
            skip_bad=plan.skip_bad,
            ram_bytes=plan.machine.ram_bytes,
        ) as data,
    ):
        # A broken test image must not show up after the last epoch.
        rehearse(data, plan, fabric, data.rows("test"))
        control = Control(fabric, plan.machine.save_every)
        ready = Ready(plan=plan, data=data, fabric=fabric, control=control)
        ready.arm(plan.recipe)  # refused now, not after the first epoch
        with control.listening():
            yield ready


def rehearse(data: Dataset, plan: RunPlan, fabric: Fabric, rows: Rows) -> None:
    """Decode the images of `rows` once; all ranks share them."""
    stream = batches(
        data,
        rows,
        size=plan.recipe.batch,
        workers=plan.machine.workers,
        what="rehearsal",
        share=(fabric.global_rank, fabric.world_size),
    )
    with closing(stream):
        for _ in stream:
            pass
