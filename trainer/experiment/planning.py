"""Manifests, arms and seeds → Experiment: its runs, once all of them have proved possible."""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from builder.contract import Manifest, UsageError
from builder.store import is_url
from trainer.arms import TREATMENTS, WEIGHTED, controls_of, default_arm, make_arm
from trainer.claim import check_trainable
from trainer.config import Request, Settings, init_digest, resolve
from trainer.evaluate.external import Pairs, external_tests
from trainer.experiment.jobs import Experiment, RunJob
from trainer.fit.devices import pick_device
from trainer.fit.step import check_pieces
from trainer.fit.track import require
from trainer.model import build
from trainer.recipe import ARMS, CONFIG, ArmName, Recipe
from trainer.stream.batches import open_dataset
from trainer.stream.locate import Located, locate

BALANCED = "oversample"  # the control that repeats real images as the plan repeats synthetic ones

USUAL = tuple(arm for arm in ARMS if arm != "radiograph")  # experiments of before had these


def plan(
    paths: Sequence[str],
    settings: Settings,
    *,
    shards_root: str | None,
    arms: Sequence[ArmName],
    seeds: int,
    grid: bool,
    out: Path,
    weights: Sequence[float] = (1.0,),
    tests: Sequence[str] = (),
    test_labels: Pairs = (),
) -> Experiment:
    """A run for every dataset, arm and seed; no arm that needs synthetic images where none exist.

    All runs share `settings`, whose seed is the first one. No `arms` means the USUAL ones. Each of
    `weights` of synthetic images makes an arm of its own of those in WEIGHTED. A control is trained
    once for all datasets that do not differ in what it shows. Every run is scored on the datasets
    `tests`, too. UsageError and CheckError are raised now for what would end a run, or the report
    after it, hours later.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "Each run of the experiment takes one process: start it without torchrun, which --jobs"
            " replaces."
        )
    cache = settings.machine.cache
    found = [(path, locate(path, shards_root, cache)) for path in find_manifests(paths)]
    _check_names([located.manifest for _, located in found])
    _check_real(found)
    elsewhere = [(path, locate(path, None, cache)) for path in tests]
    jobs: list[RunJob] = []
    scored = {path: external_tests(elsewhere, here, test_labels) for path, here in found}
    for path, located, arm in _comparisons(found, arms or USUAL, settings, out):
        for weight in dict.fromkeys(weights) if arm in WEIGHTED else (1.0,):
            request = Request(
                shards=path,
                shards_root=shards_root,
                arm=arm,
                out=out / located.manifest.name,
                resume=True,
                settings=replace(settings, synthetic_weight=weight),
            )
            made = _jobs(located, request, seeds=seeds, grid=grid)
            jobs += (replace(job, plan=replace(job.plan, tests=scored[path])) for job in made)
    if not jobs:
        raise UsageError("No dataset can have any of these arms: they need synthetic images.")
    jobs.sort(key=lambda job: job.plan.recipe.seed)  # stable: whole comparisons first
    experiment = Experiment(out=out, jobs=tuple(jobs))
    for job in jobs:
        job.check()
    _check_left(experiment, found, elsewhere, settings)
    return experiment


def _check_left(
    experiment: Experiment,
    found: Sequence[tuple[str, Located]],
    elsewhere: Sequence[tuple[str, Located]],
    settings: Settings,
) -> None:
    """Raise UsageError or CheckError where shards or settings would end a run that is left."""
    left = experiment.left()
    if not left:
        return
    used = [] if all(job.is_trained() for job in left) else found
    if not settings.skip_bad:
        for _, located in used:
            located.source.check_present(located.manifest.shardlist)
        for _, located in elsewhere:
            shards = [s for s in located.manifest.shardlist if s.split == "test"]
            located.source.check_present(shards)
    if used:
        _check_start(settings, [located.manifest for _, located in used])


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


def _check_names(manifests: Sequence[Manifest]) -> None:
    names = [manifest.name for manifest in manifests]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two manifests are called {name}: their runs would share a folder.")


def _comparisons(
    found: Sequence[tuple[str, Located]], arms: Sequence[ArmName], settings: Settings, out: Path
) -> Iterator[tuple[str, Located, ArmName]]:
    """Each dataset with each of the arms that it can have and that no other dataset lends it.

    The first dataset lends an arm, but one that has runs of it in `out` goes before.
    """
    shown: dict[tuple[str, ArmName], tuple[str | None, int] | None] = {}  # None: nobody lends it
    lenders: dict[tuple[ArmName, object], list[tuple[bool, str]]] = {}
    for path, located in found:
        _check(located.manifest, path, settings.network)
        controls = controls_of(located.manifest, located.index)
        for arm in dict.fromkeys(arms):
            what = shown[path, arm] = controls.shown_by(arm, settings.steps)
            has_runs = any((out / located.manifest.name).glob(f"{arm}-*/{CONFIG}"))
            lenders.setdefault((arm, what), []).append((not has_runs, path))
    for path, located in found:
        for arm in dict.fromkeys(arms):
            what = shown[path, arm]
            first = min(lenders[arm, what], key=lambda pair: pair[0])[1]
            if (what is None or first == path) and _is_possible(located.manifest, arm):
                yield path, located, arm


def _check_real(found: Sequence[tuple[str, Located]]) -> None:
    """UsageError where a dataset of several lacks its real images, as one in a folder may."""
    real = [p for p, at in found if any(s.origin == "real" for s in at.manifest.shardlist)]
    without = [path for path, _ in found if path not in real]
    if real and without:
        raise UsageError(
            f"{without[0]} holds only the synthetic images (--real none), on which no arm can be "
            f"trained: name the others, as in xtrain experiment {shlex.join(real)}."
        )


def _check(manifest: Manifest, shards: str, network: str) -> None:
    check_trainable(manifest, shards, network)
    if not any(shard.split == "test" for shard in manifest.shardlist):
        raise UsageError(
            f"{shards} has no test images to compare the arms on: build it with"
            " --holdout 0.05 0.05."
        )


def _is_possible(manifest: Manifest, arm: ArmName) -> bool:
    return arm not in (*TREATMENTS, BALANCED) or default_arm(manifest) == "gan"


def _check_start(settings: Settings, manifests: Sequence[Manifest]) -> None:
    """Raise UsageError or CheckError where a setting would end every run."""
    require(settings.machine.track)
    if not torch.cuda.is_available():  # a test would keep memory of the first GPU until the end
        pick_device(settings.machine.device)
    if settings.init != "random":
        for manifest in manifests:
            image = manifest.image
            build(
                manifest.pathologies,
                init=settings.init,
                seed=0,
                network=settings.network,
                size=(image.height, image.width),
            )


def _jobs(located: Located, request: Request, *, seeds: int, grid: bool) -> list[RunJob]:
    """The runs of an arm, one for each seed; `request` is the first, in the folder of them all."""
    manifest, index, settings = located.manifest, located.index, request.settings
    first = resolve(request, manifest)
    arm, above, images = first.recipe.arm, first.out, _images(located, first.recipe, grid)
    name = arm + first.recipe.weighting.replace("synthetic ", "-").replace(" ", "")
    grid_folder = above / f"{name}-grid"
    _check_folders(above / f"{name}-seed{settings.seed}", grid_folder, grid=grid)
    init_sha256 = init_digest(settings.init)
    return [
        RunJob(
            plan=replace(
                first,
                recipe=replace(first.recipe, seed=seed),
                out=above / f"{name}-seed{seed}",
            ),
            dataset=manifest.name,
            digest=manifest.digest,
            arm=arm,
            size=(manifest.image.height, manifest.image.width),
            images=images,
            val=int((index.split == "val").sum()),
            test=int((index.split == "test").sum()),
            init_sha256=init_sha256,
            grid=grid_folder if grid else None,
            first=seed == settings.seed,
        )
        for seed in range(settings.seed, settings.seed + seeds)
    ]


def _images(located: Located, recipe: Recipe, grid: bool) -> int:
    """How many images a run trains on, in all epochs; refused where the arm is not available."""
    with open_dataset(located, workers=1, prove=False) as data:
        order = make_arm(recipe, data).order
    counts = [order.count(epoch) for epoch in range(1, recipe.epochs + 1)]
    if not grid:  # a grid has other batches, and continues after a point that is refused
        for count in {*counts}:
            check_pieces(count, recipe.batch, recipe.accumulate)
    return sum(counts)


def _check_folders(run: Path, grid_folder: Path, *, grid: bool) -> None:
    """Raise UsageError where the arm was begun the other way, with a grid or without one."""
    other = run if grid else grid_folder
    if other.is_dir() and any(path.name[0] != "." for path in other.iterdir()):
        raise UsageError(
            f"--grid was asked for, but {other} was begun without it: leave it out, or choose"
            " another --out."
            if grid
            else f"{other} was begun with --grid: use --grid again, or choose another --out."
        )
