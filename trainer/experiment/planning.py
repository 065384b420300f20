"""Every dataset × arm × seed as a run, once all of them have proved possible."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from builder.contract import Manifest, UsageError
from builder.store import is_url
from trainer.arms import ARMS, TREATMENTS, control_digest, default_arm, make_arm, parse_mix
from trainer.claim import check_trainable
from trainer.config import Config, resolve
from trainer.experiment.jobs import Job, Paper
from trainer.fit.devices import pick_device
from trainer.fit.loop import check_pieces
from trainer.fit.track import require
from trainer.model import build
from trainer.recipe import Recipe
from trainer.stream.batches import open_dataset
from trainer.stream.locate import Located, locate

BALANCED = "oversample"


def plan(
    paths: Sequence[str],
    config: Config,
    *,
    arms: Sequence[str],
    seeds: int,
    grid: bool,
    out: Path,
) -> Paper:
    """Every dataset × arm × seed; what a dataset without synthetic images cannot have is left out.

    `config` is what all runs share; its seed is the first one's. No `arms` means all of them. A
    control is trained once for all datasets that differ in their synthetic pixels alone. UsageError
    and CheckError say now what would end a run, or the report after it, hours later.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "Each run of the experiment takes one process: start it without torchrun, which --jobs"
            " replaces."
        )
    found = [
        (path, locate(path, config.shards_root, config.cache)) for path in find_manifests(paths)
    ]
    _check_names(found)
    begun: dict[tuple[str, str], str] = {}  # (arm, control digest) → the dataset that has it
    jobs = []
    for path, located in found:
        _check(located.manifest, replace(config, shards=path))
        controls = control_digest(located.manifest, located.index)
        for arm in dict.fromkeys(arms or ARMS):
            lent = arm not in TREATMENTS and begun.setdefault((arm, controls), path) != path
            if not lent and _possible(located, arm):
                shared = replace(config, shards=path, recipe=replace(config.recipe, arm=arm))
                jobs += _jobs(located, shared, seeds, out, grid=grid)
    if not jobs:
        raise UsageError("No dataset can have any of these arms: they need synthetic images.")
    order = sorted(jobs, key=lambda job: job.config.recipe.seed)  # stable: whole comparisons first
    paper = Paper(out=out, jobs=tuple(order))
    for job in order:
        job.check()
    if paper.left():
        _check_start(config, [located.manifest for _, located in found])
    return paper


def find_manifests(paths: Sequence[str]) -> list[str]:
    """Manifest files and URLs; of a folder all its .json files, or those of its manifests/."""
    found = []
    for path in paths:
        if is_url(path) or not Path(path).is_dir():
            found.append(path)
            continue
        folder = Path(path)
        inside = folder / "manifests" if (folder / "manifests").is_dir() else folder
        files = sorted(str(file) for file in inside.glob("*.json"))
        if not files:
            raise UsageError(f"{path} holds no manifest: name a folder with files like gan10.json.")
        found += files
    return found


def _check_names(found: Sequence[tuple[str, Located]]) -> None:
    names = [located.manifest.name for _, located in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two manifests are called {name}: their runs would share a folder.")


def _check(manifest: Manifest, config: Config) -> None:
    check_trainable(manifest, config)
    if not any(shard.split == "test" for shard in manifest.shardlist):
        raise UsageError(
            f"{config.shards} has no test images to compare the arms on: build it with"
            " --holdout 0.05 0.05."
        )


def _check_start(config: Config, manifests: Sequence[Manifest]) -> None:
    """Raise UsageError or CheckError for what no run could have."""
    require(config.track)
    if not torch.cuda.is_available():  # else a look would take memory of the first GPU for good
        pick_device(config.device)
    if config.recipe.init != "random":
        for manifest in manifests:
            build(manifest.pathologies, init=config.recipe.init, seed=0)


def _possible(located: Located, arm: str) -> bool:
    return arm not in (*TREATMENTS, BALANCED) or default_arm(located.manifest) == "gan"


def _jobs(located: Located, config: Config, seeds: int, out: Path, *, grid: bool) -> list[Job]:
    """The seeds of an arm."""
    manifest, index, first = located.manifest, located.index, config.recipe.seed
    images = _images(located, config.recipe, grid=grid)
    above = out / manifest.name / f"{config.recipe.arm}-grid"
    jobs = []
    for seed in range(first, first + seeds):
        recipe = replace(config.recipe, seed=seed)
        folder = out / manifest.name / f"{recipe.arm}-seed{seed}"
        own = resolve(replace(config, recipe=recipe, out=folder), manifest, suffix="")
        job = Job(
            config=own,
            dataset=manifest.name,
            digest=manifest.digest,
            arm=recipe.arm,
            size=(manifest.image.height, manifest.image.width),
            images=images,
            val=int((index.split == "val").sum()),
            test=int((index.split == "test").sum()),
            grid=above if grid else None,
            first=seed == first,
        )
        jobs.append(job)
    _check_folders(jobs[0].config.out, above, grid=grid)
    return jobs


def _images(located: Located, recipe: Recipe, *, grid: bool) -> int:
    """How many images a run trains on, all epochs together; refused where the arm cannot be had."""
    source = located.source
    with open_dataset(
        located.manifest, located.index, source=source, workers=1, prove=False
    ) as data:
        order = make_arm(
            recipe.arm,
            data,
            epochs=recipe.epochs,
            seed=recipe.seed,
            augment=recipe.augment,
            mix=parse_mix(recipe.mix),
            steps=recipe.steps,
        ).order
    counts = [order.count(epoch) for epoch in range(1, recipe.epochs + 1)]
    if not grid:  # which has batches of its own, and goes on where one of them is refused
        for count in {*counts}:
            check_pieces(count, recipe.batch, recipe.accumulate)
    return sum(counts)


def _check_folders(run: Path, above: Path, *, grid: bool) -> None:
    """Raise UsageError where the arm was begun in the other way, with a grid or without one."""
    other = run if grid else above
    if other.is_dir() and any(path.name[0] != "." for path in other.iterdir()):
        raise UsageError(
            f"--grid was asked for, and {other} was begun without it: leave it out, or choose"
            " another --out."
            if grid
            else f"{other} was begun with --grid: give it again, or choose another --out."
        )
