"""The line: manifest → stream → fit → evaluate → report; once, or for each point of a grid."""

import fcntl
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from builder.contract import CheckError, Manifest, UsageError, sha256_file, write_last
from trainer import report
from trainer.arms import Arm, default_arm, make_arm, parse_mix
from trainer.checkpoint import State, load_notes
from trainer.control import Control, Place
from trainer.devices import connect
from trainer.evaluate import evaluate
from trainer.fit import Recipe, fit
from trainer.history import best_epoch, write_unread
from trainer.locate import Located, locate
from trainer.model import SMALLEST, build, load_into, load_weights
from trainer.remote import Cache
from trainer.stream import Dataset, batches, open_dataset
from trainer.sweep import Fitted, Grid, Trial, hold, search, winner
from trainer.sweep import save as save_sweep
from trainer.track import require, trackers


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One run as asked for."""

    shards: str  # the manifest, a file or URL
    shards_root: str | None  # where the paths of its shards start; None: beside the manifest
    out: Path
    recipe: Recipe
    device: str
    workers: int
    resume: bool
    skip_bad: bool
    ram_bytes: int  # of decoded images that are kept
    cache: Cache  # of what is fetched
    save_every: float  # seconds
    track: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        words = {"shards": self.shards, "shards-root": self.shards_root, "out": self.out}
        recipe = asdict(self.recipe)
        flags = ["--compile"] if recipe.pop("compile") else []
        options = words | recipe | {"device": self.device, "workers": self.workers}
        given = {name: value for name, value in options.items() if value is not None}
        return shlex.join(
            ["xtrain", *(f"--{name}={value}" for name, value in given.items()), *flags]
        )


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

        def point(params: dict[str, Any], folder: Path) -> Fitted:
            state = ready.fit(replace(recipe, **params), folder, resume=True)
            best = best_epoch(state.history, ready.arm(recipe).choose_from)
            seconds = sum(timing.seconds for timing in state.timings)
            return Fitted(val_auc=best.val_auc_mean or 0.0, best_epoch=best.epoch, seconds=seconds)

        fixed = {name: value for name, value in asdict(recipe).items() if name not in grid}
        identity = {"manifest": ready.data.manifest.digest} | fixed
        trials = search(
            point,
            grid=grid,
            out=out,
            storage=storage,
            identity=identity,
            seed=recipe.seed,
            pause=ready.control.sleep,
        )
        save_sweep(trials, out)
        best = winner(trials)
        with hold(out / best.folder, wait=True):  # the processes of a sweep end together
            return trials, _score_once(ready, replace(recipe, **best.params), out / best.folder)


def _check_choice(data: Dataset) -> None:
    """Raise UsageError where no pathology has both classes in val: nothing could be chosen by."""
    labels = data.index.labels[data.rows("val")]
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        raise UsageError("No pathology has both classes in val, so no point could be the best one.")


def _score_once(ready: Ready, recipe: Recipe, out: Path) -> report.Facts:
    """The winner's report: the one that is there, so that test is not looked at again."""
    if (out / "report.json").is_file():
        found: report.Facts = json.loads((out / "report.json").read_bytes())
        return found
    return score(ready, recipe, out)


def rescore(config: Config) -> report.Facts:
    """What report.json holds: the run in `config.out` scored and reported again."""
    load_notes(config.out / "last.pt")  # or there is no run
    with prepared(replace(config, resume=True)) as ready, claim(config.out, ready.fabric):
        _, facts = load_weights(config.out / "best.safetensors")
        found = ready.data.manifest.digest
        if facts.get("manifest") != found:
            raise UsageError(
                f"{config.out} was trained on the manifest {facts.get('manifest')}, and"
                f" {config.shards} is {found}: for another dataset use xtrain predict."
            )
        return score(ready, ready.config.recipe, config.out)


def asked_of(run: Path) -> report.Facts:
    """What config.json of a run holds."""
    try:
        asked: report.Facts = json.loads((run / "config.json").read_bytes())
        missing = {field.name for field in fields(Recipe)} - asked.keys()
    except (OSError, ValueError, AttributeError):
        raise UsageError(f"{run} holds no run of xtrain: it has no config.json.") from None
    if missing:
        raise CheckError(f"{run / 'config.json'} does not say the {min(missing)} of the run.")
    return asked


def score(ready: Ready, recipe: Recipe, out: Path) -> report.Facts:
    """What report.json holds: the best weights of the run in `out` on val and test."""
    data = ready.data
    history, unread = load_notes(out / "last.pt")
    model = build(data.manifest.pathologies, init="random", seed=recipe.seed)
    load_into(model, out / "best.safetensors")
    model.to(ready.fabric.device)
    evaluation = evaluate(data, model, ready.place(out), batch=recipe.batch, seed=recipe.seed)
    config = replace(ready.config, out=out, recipe=recipe)
    found = report.gather(data, ready.arm(recipe), recipe, history, evaluation) | {
        "command": config.command,
        "config": describe(data.manifest, config, ready.fabric),
    }
    if ready.fabric.is_global_zero:
        write_unread(out, unread | evaluation.unread, data.index)
        write_last(out / "predictions.parquet", evaluation.predictions)
        write_last(out / "report.json", (json.dumps(found, indent=2) + "\n").encode())
        write_last(out / "report.md", report.markdown(found).encode())
        write_last(out / "curves.png", report.curves(found, history, data.manifest.pathologies))
    return found


@contextmanager
def prepared(config: Config, *, runs: bool = True) -> Iterator[Ready]:
    """Dataset and device, checked; SIGINT and SIGTERM become Stopped from here on.

    `runs`: `config.out` is the folder of a run, not of a sweep.
    """
    found = locate(config.shards, config.shards_root, config.cache)
    require(config.track)
    config = resolve(config, found.manifest, suffix="" if runs else "-sweep")
    check(found.manifest, config)
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


def resolve(config: Config, manifest: Manifest, *, suffix: str) -> Config:
    """The config with the arm that suits the dataset and a folder, where none was asked for."""
    recipe = config.recipe
    arm = recipe.arm or default_arm(manifest)
    augment = "flip" if arm == "flip" else recipe.augment
    mix = ",".join(f"{origin}={weight:g}" for origin, weight in parse_mix(recipe.mix).items())
    out = config.out
    if out == Path():
        out = Path("runs") / f"{manifest.name}-{arm}{suffix}"
    return replace(config, out=out, recipe=replace(recipe, arm=arm, augment=augment, mix=mix))


def check(manifest: Manifest, config: Config) -> None:
    """Raise UsageError where no run can start: nothing to learn or to choose by."""
    splits = {shard.split for shard in manifest.shardlist}
    image = manifest.image
    if "train" not in splits:
        raise UsageError(f"{config.shards} has no training images.")
    if not any(shard.origin == "real" for shard in manifest.shardlist):
        raise UsageError(
            f"{config.shards} holds the synthetic half alone (--real none): train on a dataset with"
            " its real images."
        )
    if "val" not in splits:
        raise UsageError(
            f"{config.shards} has no validation images to choose the epoch by: build it with"
            " --holdout 0.05 0.05."
        )
    if min(image.height, image.width) < SMALLEST:
        raise UsageError(
            f"Images of {image.height}×{image.width} pixels are too small for DenseNet-121:"
            f" it needs {SMALLEST} at least."
        )


def check_out(config: Config) -> None:
    """Raise UsageError where `out` is in use by something else."""
    out = config.out
    there = {path.name for path in out.iterdir() if path.name[0] != "."} if out.exists() else set()
    if there and not config.resume:
        raise UsageError(f"{out} is not empty: go on with --resume, or choose another --out.")
    begun = {"config.json", "last.pt", "wandb"}  # or a tracker's file, before the first save
    if there and not there & begun and not any(".tfevents." in name for name in there):
        raise UsageError(f"{out} holds no run to resume: choose another --out.")


def rehearse(data: Dataset, config: Config, fabric: Fabric) -> None:
    """Decode the test images once: a broken one must not show up after the last epoch."""
    rows, size, share = (
        data.rows("test"),
        config.recipe.batch,
        (fabric.global_rank, fabric.world_size),
    )
    stream = batches(data, rows, size=size, workers=config.workers, what="rehearsal", share=share)
    with closing(stream):
        for _ in stream:
            pass


def describe(manifest: Manifest, config: Config, fabric: Fabric) -> report.Facts:
    """What config.json holds: everything that was asked, resolved."""
    recipe, init = config.recipe, Path(config.recipe.init)
    return {
        "manifest": manifest.name,
        "manifest_sha256": manifest.digest,
        "shards": config.shards,
        "shards_root": config.shards_root,
        "out": str(config.out),
        **asdict(recipe),
        "init_sha256": sha256_file(init) if init.is_file() else None,
        "device": fabric.device.type,
        "ranks": fabric.world_size,
        "workers": config.workers,
    }


@contextmanager
def claim(out: Path, fabric: Fabric) -> Iterator[None]:
    """The folder `out` for this run alone; it is gone again if a failure left it empty."""
    out.mkdir(parents=True, exist_ok=True)
    file = os.open(out, os.O_RDONLY)
    try:
        if fabric.is_global_zero:
            _lock(file, out)
        yield
    except torch.OutOfMemoryError:
        raise UsageError(
            "The device has not enough memory: choose a smaller --batch or a larger --accumulate."
        ) from None
    finally:
        os.close(file)
        with suppress(OSError):  # not empty: the run's files stay
            out.rmdir()


def _lock(file: int, out: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"Another xtrain is writing into {out}: wait for it, or use another --out."
        ) from None
    except OSError:  # a file system without locks: only the user's care keeps runs apart
        pass
