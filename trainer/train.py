"""The line: manifest → stream → fit → evaluate → report; once, or for each point of a grid."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from builder.contract import CheckError, UsageError, write_last
from builder.contract.lock import hold
from builder.contract.weights import load_into, read_header
from trainer import report
from trainer.arms import Arm, make_arm, parse_mix
from trainer.claim import check_out, check_trainable, claim
from trainer.config import Config, describe, resolve
from trainer.evaluate.scores import evaluate
from trainer.fit.checkpoint import State, load_notes
from trainer.fit.control import Control, Place
from trainer.fit.devices import connect
from trainer.fit.history import best_epoch, write_unread
from trainer.fit.loop import fit
from trainer.fit.track import require, trackers
from trainer.model import build
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset, batches, open_dataset
from trainer.stream.locate import Located, locate
from trainer.sweep import Fitted, Grid, Trial, search, winner
from trainer.sweep import save as save_sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What every run on a dataset shares, once all of it has proved good."""

    config: Config
    data: Dataset
    fabric: Fabric
    control: Control

    def fit(self, recipe: Recipe, out: Path, *, resume: bool) -> State:
        """The state after the last epoch; the run's files lie in `out`."""
        config, data = self.config, self.data
        arm = self.arm(recipe)
        model = build(data.manifest.pathologies, init=recipe.init, seed=recipe.seed)
        facts = describe(data.manifest, replace(config, out=out, recipe=recipe), self.fabric)
        names = config.track if self.fabric.is_global_zero else ()
        open_trackers = trackers(names, out=out, name=out.name, config=facts, resume=resume)
        place = replace(self.place(out), trackers=open_trackers)
        try:
            return fit(data, arm, model, recipe, place, facts=facts, resume=resume)
        finally:
            for tracker in open_trackers:
                tracker.close()

    def arm(self, recipe: Recipe) -> Arm:
        """The arm of a recipe on this dataset."""
        return make_arm(
            recipe.arm,
            self.data,
            epochs=recipe.epochs,
            seed=recipe.seed,
            augment=recipe.augment,
            mix=parse_mix(recipe.mix),
            steps=recipe.steps,
        )

    def place(self, out: Path) -> Place:
        """Where a run computes and writes."""
        return Place(out=out, fabric=self.fabric, control=self.control, workers=self.config.workers)


def train(config: Config) -> report.Facts:
    """What report.json holds, once every file of the run lies in `config.out`.

    Nothing is written before the dataset, the test images included, and the weights to start from
    have proved good. UsageError and CheckError say in one sentence what was wrong.
    """
    with prepared(config) as ready, claim(ready.config.out, ready.fabric):
        recipe, out = ready.config.recipe, ready.config.out
        ready.fit(recipe, out, resume=config.resume)
        return score(ready, recipe, out)


def sweep(
    config: Config, grid: Grid, storage: str | None
) -> tuple[tuple[Trial, ...], report.Facts]:
    """Every point of the grid, and the report of the best of them by validation AUC.

    The test images are looked at once, by the winner. Each point is a run in a folder of its own,
    which goes on where it was interrupted. Tables and a picture lie in `config.out`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "A sweep runs in one process: start several of them on one --storage instead."
        )
    with prepared(replace(config, resume=True), runs=False) as ready:
        recipe, out = ready.config.recipe, ready.config.out
        _check_choice(ready.data)

        def point(chosen: Recipe, folder: Path) -> Fitted:
            with claim(folder, ready.fabric):
                state = ready.fit(chosen, folder, resume=True)
            best = best_epoch(state.history, ready.arm(recipe).choose_from)
            seconds = sum(timing.seconds for timing in state.timings)
            return Fitted(val_auc=best.val_auc_mean or 0.0, best_epoch=best.epoch, seconds=seconds)

        trials = search(
            point,
            grid=grid,
            out=out,
            storage=storage,
            digest=ready.data.manifest.digest,
            recipe=recipe,
            pause=ready.control.sleep,
        )
        pause = ready.control.sleep  # the processes end together
        save_sweep(trials, out, pause)
        best = winner(trials)
        folder = out / best.folder
        with hold(folder, wait=pause), claim(folder, ready.fabric):
            return trials, _score_once(ready, best.params.apply(recipe), folder)


def _check_choice(data: Dataset) -> None:
    """Raise UsageError where no pathology has both classes in val: nothing could be chosen by."""
    labels = data.index.labels[data.rows("val")]
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        raise UsageError("No pathology has both classes in val, so no point could be the best one.")


def _score_once(ready: Ready, recipe: Recipe, out: Path) -> report.Facts:
    """The winner's report: the one that is there, so that test is not looked at again."""
    if (out / "report.json").is_file():
        found: report.Facts = json.loads((out / "report.json").read_bytes())
        if found["epochs"] == recipe.epochs:  # not one of a run that was still under way
            return found
    return score(ready, recipe, out)


def rescore(config: Config) -> report.Facts:
    """What report.json holds: the run in `config.out` scored and reported again."""
    load_notes(config.out / "last.pt")  # or there is no run
    with prepared(replace(config, resume=True)) as ready, claim(config.out, ready.fabric):
        return score(ready, ready.config.recipe, config.out)


def score(ready: Ready, recipe: Recipe, out: Path) -> report.Facts:
    """What report.json holds: the best weights of the run in `out` on val and test."""
    data, arm = ready.data, ready.arm(recipe)
    history, unread = load_notes(out / "last.pt")
    model = _best(ready, recipe, out, epoch=best_epoch(history, arm.choose_from).epoch)
    evaluation = evaluate(
        data,
        model,
        ready.place(out),
        batch=recipe.batch,
        seed=recipe.seed,
        min_positives=ready.config.min_positives,
    )
    config = replace(ready.config, out=out, recipe=recipe)
    found = report.gather(data, arm, recipe, history, evaluation) | {
        "command": config.command,
        "config": describe(data.manifest, config, ready.fabric),
    }
    if ready.fabric.is_global_zero:
        write_unread(out, unread | evaluation.unread, data.index)
        write_last(out / "predictions.parquet", evaluation.predictions)
        write_last(out / "report.md", report.markdown(found).encode())
        write_last(out / "curves.png", report.curves(found, history, data.manifest.pathologies))
        write_last(out / "report.json", (json.dumps(found, indent=2) + "\n").encode())
    ready.fabric.barrier()
    return found


def _best(ready: Ready, recipe: Recipe, out: Path, *, epoch: int) -> nn.Module:
    """The network with the weights of the best epoch, proved to be this run's on this dataset."""
    path, manifest = out / "best.safetensors", ready.data.manifest
    if not path.is_file():
        raise UsageError(f"{path} is missing: the run must be made again, in another --out.")
    header = read_header(path)
    if header.manifest != manifest.digest:
        raise UsageError(
            f"{out} was trained on the manifest {header.manifest}, and {manifest.name} is"
            f" {manifest.digest}: for another dataset use xtrain predict."
        )
    if header.epoch != epoch:
        raise CheckError(
            f"{path} holds epoch {header.epoch}, and the best one of the run is {epoch}:"
            " go on with xtrain fit --resume."
        )
    model = build(manifest.pathologies, init="random", seed=recipe.seed)
    load_into(model, path)
    return model.to(ready.fabric.device)


@contextmanager
def prepared(config: Config, *, runs: bool = True) -> Iterator[Ready]:
    """Dataset and device, checked; SIGINT and SIGTERM become Stopped from here on.

    `runs`: `config.out` is the folder of a run, not of a sweep.
    """
    found = locate(config.shards, config.shards_root, config.cache)
    require(config.track)
    config = resolve(config, found.manifest, suffix="" if runs else "-sweep")
    check_trainable(found.manifest, config)
    if runs:
        check_out(config)
    with (
        connect(config.device, config.recipe.precision) as fabric,
        _opened(found, config) as data,
    ):
        rehearse(data, config, fabric)
        control = Control(fabric, config.save_every)
        ready = Ready(config=config, data=data, fabric=fabric, control=control)
        ready.arm(config.recipe)  # refused now, not after the first epoch
        with control.listening():
            yield ready


@contextmanager
def _opened(found: Located, config: Config) -> Iterator[Dataset]:
    with open_dataset(
        found.manifest,
        found.index,
        source=found.source,
        workers=config.workers,
        skip_bad=config.skip_bad,
        ram_bytes=config.ram_bytes,
    ) as data:
        yield data


def rehearse(data: Dataset, config: Config, fabric: Fabric) -> None:
    """Decode the test images once: a broken one must not show up after the last epoch."""
    stream = batches(
        data,
        data.rows("test"),
        size=config.recipe.batch,
        workers=config.workers,
        what="rehearsal",
        share=(fabric.global_rank, fabric.world_size),
    )
    with closing(stream):
        for _ in stream:
            pass
