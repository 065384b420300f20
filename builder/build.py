"""The line itself: labels → split → plan → draw → render → write → seal."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builder import generators
from builder.claim import claimed, keep_recipes, refuse_strangers
from builder.contract import Manifest, UsageError
from builder.draw import draw
from builder.jobs import bad_images, pack_jobs, packed_labels, render_jobs
from builder.labels import LabelTable, read_labels
from builder.plan import Plan
from builder.recipe import Recipe
from builder.render import check_generator
from builder.seal import seal
from builder.split import Split, split_patients
from builder.write import Shard, write_shards

Watch = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

_SOFTWARE = ("cxr-rebalance", "numpy", "pillow", "pyarrow", "simplejpeg", "torch")


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


def synth(
    blueprint: Blueprint, *, out: Path, workers: int, skip_bad: bool, watch: Watch
) -> Manifest:
    """The sealed dataset under `out`; what an interrupted run completed is kept.

    `watch(title, total)` gives a context whose function is told the number of images done.
    """
    table, split = blueprint.table, blueprint.split
    recipe, generator = _with_generator(blueprint.recipe, table)
    with claimed(out):
        keep_recipes(_recipes(recipe, out))
        real = _pack(recipe, table, split, out=out, workers=workers, skip_bad=skip_bad, watch=watch)
        labels, plan = table.labels[split.train], blueprint.plan
        if any(shard.bad for shard in real):  # the promise is about the images that are there
            labels = packed_labels(real)
            plan = recipe.plan(table.pathologies, labels)
        if not plan.synthetic and recipe.real == "none":
            raise UsageError("Every target holds its share already: there is nothing to render.")
        drawn = draw(plan, labels, recipe.name)
        jobs = render_jobs(recipe, drawn, table.pathologies, blueprint.recipe.generator, root=out)
        refuse_strangers(out / "shards" / recipe.name, [job.path for job in jobs])
        with watch("rendering synthetic images", len(drawn)) as tick:
            synthetic = write_shards(jobs, workers=workers, tick=tick)
        return seal(
            [*real, *synthetic],
            root=out,
            name=recipe.name,
            pathologies=table.pathologies,
            image=recipe.image,
            plan=plan.proof(),
            facts={
                "recipe": asdict(recipe),
                "generator": generator.facts(),
                "source": _source(table, real),
                "software": _software(),
            },
        )


def _with_generator(recipe: Recipe, table: LabelTable) -> tuple[Recipe, generators.Loaded]:
    if recipe.real == "pack" and table.root is None and table.dataset != "demo":
        raise UsageError(
            f"--dataset {table.dataset} needs its images: add --root FOLDER, or build the "
            "synthetic half alone with --real none."
        )
    loaded = generators.find(recipe.generator, recipe.image_size)
    check_generator(
        loaded.generator,
        name=loaded.name,
        targets=recipe.targets,
        image_size=recipe.image_size,
        upsample=recipe.upsample,
    )
    return replace(recipe, generator=loaded.name, generator_sha256=loaded.sha256), loaded


def _recipes(recipe: Recipe, out: Path) -> dict[Path, dict[str, Any]]:
    """Which recipe each folder of shards is filled with; other versions may make other bytes."""
    shards, software = out / "shards", {"software": _software()}
    recipes = {shards / recipe.name: asdict(recipe) | software}
    if recipe.real == "pack":
        about = recipe.real_part() | software
        if recipe.dataset == "demo":
            about["phantom_sha256"] = generators.find("phantom", recipe.image_size).sha256
        recipes[shards / "real"] = about
        if recipe.train_folder != "real":
            recipes[shards / recipe.train_folder] = about | {"regime": recipe.regime}
    return recipes


def _software() -> dict[str, str]:
    return {name: version(name) for name in _SOFTWARE}


def _pack(
    recipe: Recipe,
    table: LabelTable,
    split: Split,
    *,
    out: Path,
    workers: int,
    skip_bad: bool,
    watch: Watch,
) -> list[Shard]:
    if recipe.real == "none":
        return []
    jobs = pack_jobs(recipe, table, split, root=out, skip_bad=skip_bad)
    with watch("packing real images", sum(len(job.samples) for job in jobs)) as tick:
        shards = write_shards(jobs, workers=workers, tick=tick)
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
