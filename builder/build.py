"""The line itself: labels → split → plan → draw → render → write → seal."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from builder import generators
from builder.checks import ALWAYS, Check, Context, Judge, find_check
from builder.checks.duplicate import DUPLICATE
from builder.claim import claimed, keep_recipes
from builder.contract import Manifest, UsageError
from builder.draw import draw
from builder.engines.jobs import (
    bad_images,
    list_rejects,
    pack_jobs,
    packed_labels,
    render_jobs,
)
from builder.engines.local import Engine, Throughput
from builder.engines.workers import write_shards
from builder.labels import LabelTable, read_labels
from builder.plan import Plan
from builder.progress import Progress
from builder.recipe import IMAGE_SIZE, Recipe
from builder.render import check_generator
from builder.seal import seal
from builder.split import Split, split_patients
from builder.write import Shard

_SOFTWARE = ("cxr-rebalance", "isal", "numpy", "pillow", "pyarrow", "simplejpeg", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What is known before the first image is touched; the recipe is resolved."""

    recipe: Recipe
    table: LabelTable
    split: Split
    plan: Plan


def prepare(recipe: Recipe, *, labels: Path | None = None, root: Path | None = None) -> Blueprint:
    """The blueprint of a dataset: labels → split → plan. Reads labels only, writes nothing."""
    table = read_labels(
        recipe.dataset, labels=labels, root=root, uncertain=recipe.uncertain, views=recipe.views
    )
    recipe = recipe.resolved(table)
    val, test = recipe.holdout
    split = split_patients(
        table.rows["patient"],
        regime=Fraction(recipe.regime),
        holdout=(Fraction(val), Fraction(test)),
        seed=recipe.seed,
    )
    plan = recipe.plan(table.pathologies, table.labels[split.train])
    return Blueprint(recipe=recipe, table=table, split=split, plan=plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A sealed dataset and how the rendering of its images went."""

    manifest: Manifest
    pace: Throughput


def synth(
    blueprint: Blueprint,
    *,
    out: Path,
    workers: int | None,
    skip_bad: bool,
    progress: Progress,
    batch: int | None = None,
    keep_rejects: bool = False,
) -> Built:
    """The sealed dataset under `out`; what an interrupted run completed is kept.

    `workers`: processes, default one per core, or per GPU where the generator uses them. `batch`:
    images per call of the generator, default the fastest on a GPU. `progress(title, total)` gives a
    context whose function is told the number of images done.
    """
    table, split = blueprint.table, blueprint.split
    recipe, loaded = _with_generator(blueprint.recipe, table)
    recipe, checks = _with_checks(recipe, split)
    with claimed(out):
        keep_recipes(_recipes(recipe, loaded, out))
        real = _pack(
            recipe, table, split, out=out, workers=workers, skip_bad=skip_bad, progress=progress
        )
        labels, plan = table.labels[split.train], blueprint.plan
        if any(shard.bad for shard in real):  # the promise is about the images that are there
            labels = packed_labels(real)
            plan = recipe.plan(table.pathologies, labels)
        if not plan.synthetic and recipe.real == "none":
            raise UsageError("Every target holds its share already: there is nothing to render.")
        folder = out / "shards" / recipe.name
        engine = Engine.of(loaded.generator, workers=workers, batch=batch, folder=folder)
        with TemporaryDirectory() as scratch:
            shown = [name for name, count in zip(plan.names, plan.render, strict=True) if count]
            judges = _judges(checks, shown, recipe, table, real, out, Path(scratch), progress)
            jobs = partial(
                render_jobs,
                recipe,
                draw(plan, labels, recipe.name),
                table.pathologies,
                load=partial(generators.load, *_wanted(blueprint.recipe)),
                judges=judges,
                root=out,
                batch=engine.batch,
                threads=engine.threads,
                aside=out / f"{recipe.name}-rejected" if keep_rejects else None,
            )
            synthetic, pace = engine.render(jobs, folder, DUPLICATE in recipe.accept, progress)
        rejects = list_rejects(synthetic, out / f"{recipe.name}-rejected.csv")
        manifest = seal(
            [*real, *synthetic],
            root=out,
            name=recipe.name,
            pathologies=table.pathologies,
            image=recipe.image,
            plan=plan.proof(),
            facts={
                "recipe": asdict(recipe),
                "generator": loaded.facts() | {"rejected": rejects},
                "source": _source(table, real),
                "software": _software(loaded),
            },
        )
    return Built(manifest=manifest, pace=pace)


def _with_generator(recipe: Recipe, table: LabelTable) -> tuple[Recipe, generators.Loaded]:
    if recipe.real == "pack" and table.root is None and table.dataset != "demo":
        raise UsageError(
            f"--dataset {table.dataset} needs its images: add --root FOLDER, or build the "
            "synthetic half alone with --real none."
        )
    loaded = generators.find(*_wanted(recipe))
    image_size = recipe.image_size or min(IMAGE_SIZE, loaded.generator.resolution)
    check_generator(
        loaded.generator,
        name=loaded.name,
        targets=recipe.targets,
        image_size=image_size,
        upsample=recipe.upsample,
    )
    known = replace(
        recipe,
        image_size=image_size,
        generator=loaded.name,
        generator_sha256=loaded.sha256,
    )
    return known, loaded


def _wanted(recipe: Recipe) -> tuple[str, int, generators.Options]:
    """The generator as the user named it; whoever asks again in these words is given the same."""
    return recipe.generator, recipe.image_size or IMAGE_SIZE, recipe.generator_options()


def _with_checks(recipe: Recipe, split: Split) -> tuple[Recipe, list[Check]]:
    """The checks of every image, and the recipe with their identities."""
    checks = [find_check(word) for word in (ALWAYS, *recipe.accept) if word != DUPLICATE]
    for check in checks:
        if check.needs and recipe.real == "none":
            raise UsageError(f"The check {check.identity} looks at real images: use --real pack.")
        for name in check.needs:
            if not len(getattr(split, name)):
                raise UsageError(f"The check {check.identity} needs {name} images: --holdout.")
    names = dict.fromkeys(check.identity for check in checks)
    if DUPLICATE in recipe.accept:
        names[DUPLICATE] = None
    return replace(recipe, accept=tuple(names)), checks


def _judges(
    checks: Sequence[Check],
    targets: Sequence[str],
    recipe: Recipe,
    table: LabelTable,
    real: Sequence[Shard],
    out: Path,
    scratch: Path,
    progress: Progress,
) -> list[Judge]:
    """The checks made ready for images of `targets`, by what the real images show."""
    entries = [shard.entry for shard in real if shard.entry]
    total = sum(e.nsamples for check in checks for e in entries if e.split in check.needs)
    looking = progress("looking at real images", total) if total else nullcontext(lambda _: None)
    with looking as advance:
        context = Context(
            root=out,
            shards=tuple((entry.split, entry.url) for entry in entries),
            image=recipe.image,
            pathologies=table.pathologies,
            scratch=scratch,
            advance=advance,
        )
        return [check.prepared(context, targets) for check in checks]


def _recipes(recipe: Recipe, generator: generators.Loaded, out: Path) -> dict[Path, dict[str, Any]]:
    """Which recipe each folder of shards is filled with; other versions may make other bytes."""
    shards, software = out / "shards", {"software": _software()}
    recipes = {shards / recipe.name: asdict(recipe) | {"software": _software(generator)}}
    if recipe.real == "pack":
        about = recipe.real_part() | software
        if recipe.dataset == "demo":
            about["phantom_sha256"] = generators.find("phantom", recipe.image_size).sha256
        recipes[shards / "real"] = about
        if recipe.train_folder != "real":
            recipes[shards / recipe.train_folder] = about | {"regime": recipe.regime}
    return recipes


def _software(loaded: generators.Loaded | None = None) -> dict[str, str]:
    """The versions on which bytes depend, those of the generator's own libraries included."""
    own = getattr(loaded.generator, "software", ()) if loaded else ()
    return {name: version(name) for name in (*_SOFTWARE, *own)}


def _pack(
    recipe: Recipe,
    table: LabelTable,
    split: Split,
    *,
    out: Path,
    workers: int | None,
    skip_bad: bool,
    progress: Progress,
) -> list[Shard]:
    if recipe.real == "none":
        return []
    jobs = pack_jobs(recipe, table, split, root=out, skip_bad=skip_bad)
    with progress("packing real images", sum(len(job.samples) for job in jobs)) as advance:
        shards = write_shards(jobs, workers=workers or os.cpu_count() or 1, advance=advance)
    bad_images(shards, out / f"{recipe.name}-left-out.csv", skip_bad=skip_bad)
    return shards


def _source(table: LabelTable, real: Sequence[Shard]) -> dict[str, Any]:
    return {
        "dataset": table.dataset,
        "labels_sha256": table.sha256,
        "rows": len(table),
        "patients": int(table.rows["patient"].nunique()),
        "left_out": sum(len(shard.bad) for shard in real),
    }
