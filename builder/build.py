"""The pipeline itself: labels → split → plan → draw → render → write → seal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from builder import generators
from builder.blueprint import Blueprint
from builder.checks import Check
from builder.checks.check import DUPLICATE
from builder.claim import begin, check_destination, claimed, real_recipes, recipes
from builder.contract import Manifest, UsageError
from builder.draw import Draw, draw
from builder.engines.jobs import check_count
from builder.engines.local import images_per_call
from builder.engines.make import Renderer, Work, pack_shards, render_shards
from builder.engines.parts import Made, Mine, Part
from builder.engines.reports import report_rejects
from builder.engines.rounds import Throughput
from builder.labels import LabelTable, check_files, find_pathology
from builder.plan import Plan
from builder.recipe import (
    IMAGE_SIZE,
    Layout,
    RealRecipe,
    RealRequest,
    Recipe,
    resolve_real,
)
from builder.render import (
    LabelMap,
    check_generator,
    named_labels,
    recorded_batch,
    resolve_label_map,
)
from builder.seal import Facts, generator_facts, seal, source_facts
from builder.software import software
from builder.split import Cohort
from builder.write import Shard

Tell = Callable[[generators.Loaded], None]  # is called before images are made


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A sealed dataset and how fast its images were rendered."""

    manifest: Manifest
    throughput: Throughput


def resolve(
    blueprint: Blueprint,
    generator: generators.Loaded,
    checks: Sequence[Check],
    label_map: LabelMap = (),
) -> Recipe:
    """The recipe: the request with every default worked out."""
    request = blueprint.request
    across = (name for name in request.checks if name == DUPLICATE)
    real = resolve_real(
        replace(
            request,
            name=blueprint.name,
            image_size=request.image_size or min(IMAGE_SIZE, generator.generator.resolution),
        ),
        blueprint.cohort.table,
    )
    return Recipe(
        **{field.name: getattr(real, field.name) for field in fields(real)},
        share=request.share,
        rare_below=request.rare_below,
        targets=blueprint.targets,
        max_per_real=request.max_per_real,
        vectors=request.vectors,
        real=request.real,
        generator=generator.name,
        generator_sha256=generator.sha256,
        options=request.options,
        label_map=tuple(f"{pathology}={label}" for pathology, label in label_map),
        precision=request.precision,
        batch=recorded_batch(generator.generator, request.batch),
        checks=tuple(dict.fromkeys((*(check.identity for check in checks), *across))),
    )


def pack(request: RealRequest, cohort: Cohort, work: Work) -> Manifest:
    """The sealed dataset of the real images alone; `synth` finds their shards and keeps them."""
    with _packing(request, cohort, work) as (recipe, layout):
        real = pack_shards(recipe, cohort, layout, work)
        facts = Facts(
            recipe=asdict(recipe),
            generator=None,
            source=source_facts(cohort.table, real),
            software=software(),
        )
        return seal(real, layout=layout, name=recipe.name, plan=None, facts=facts)


def pack_part(request: RealRequest, cohort: Cohort, work: Work, part: Part) -> list[str]:
    """The real shards of other parts that are missing, once those of this part are complete."""
    mine = Mine(part)
    with _packing(request, cohort, work, shared=True) as (recipe, layout):
        pack_shards(recipe, cohort, layout, replace(work, share=mine))
    return mine.missing()


@contextmanager
def _packing(
    request: RealRequest, cohort: Cohort, work: Work, *, shared: bool = False
) -> Iterator[tuple[RealRecipe, Layout]]:
    """The recipe of real images alone and its place, which is held until the block ends."""
    check_destination(work.destination, dataset=request.dataset, packs=True)
    _check_images(cohort.table, "add --root FOLDER")
    recipe = resolve_real(request, cohort.table)
    check_count(recipe, cohort.split, 0)
    layout = _layout(recipe, cohort.table, work)
    with claimed(work.out, shared=shared):
        own = real_recipes(recipe, layout)
        begin(layout, recipe.name, asdict(recipe), own, real_only=True, shared=shared)
        yield recipe, layout


def _layout(recipe: RealRecipe, table: LabelTable, work: Work) -> Layout:
    return Layout(
        root=work.out,
        pathologies=table.pathologies,
        image=recipe.image,
        destination=work.destination,
    )


def synth(
    blueprint: Blueprint,
    work: Work,
    loaded: generators.Loaded | None = None,
    tell: Tell | None = None,
) -> Built:
    """The sealed dataset under `work.out`; what an interrupted run completed is kept.

    `loaded` stands for the generator that the blueprint names; `tell` gets the one that is used.
    """
    ready = _ready(blueprint, work, loaded, tell)
    blueprint, recipe, layout = ready.blueprint, ready.recipe, ready.layout
    with claimed(work.out):
        begin(layout, recipe.name, recipe.noted(), recipes(recipe, ready.software, layout))
        packed = recipe.real == "pack"
        real = pack_shards(recipe, blueprint.cohort, layout, work) if packed else []
        plan, drawn = _draw(blueprint, real)
        synthetic, throughput = render_shards(
            recipe, drawn, ready.renderer, real=real, layout=layout, work=work
        )
        rejects = report_rejects(synthetic, work.out / f"{recipe.name}-rejected.csv")
        facts = Facts(
            recipe=recipe.noted(),
            generator=generator_facts(ready.loaded, ready.renderer.label_map, rejects),
            source=source_facts(blueprint.cohort.table, real),
            software=ready.software,
        )
        shards = [*real, *synthetic]
        manifest = seal(shards, layout=layout, name=recipe.name, plan=plan.proof(), facts=facts)
    return Built(manifest=manifest, throughput=throughput)


def synth_part(blueprint: Blueprint, work: Work, part: Part, tell: Tell | None = None) -> list[str]:
    """The shards of other parts that are missing, once those of this part are complete.

    Parts run in any order, at once, on machines that share the folder. Nothing is sealed. Where
    the plan or a check depends on all real images, CheckError names the real shards that are
    missing; those of this part are complete then, too.
    """
    if blueprint.request.batch == "auto":
        raise UsageError("--batch auto differs from machine to machine: give parts a number.")
    mine = Mine(part)
    ready = _ready(blueprint, replace(work, share=mine), tell=tell)
    blueprint, recipe, layout = ready.blueprint, ready.recipe, ready.layout
    with claimed(work.out, shared=True):
        own = recipes(recipe, ready.software, layout)
        begin(layout, recipe.name, recipe.noted(), own, shared=True)
        real: list[Shard] = []
        if recipe.real == "pack":
            pack_shards(recipe, blueprint.cohort, layout, replace(work, share=mine))
            if work.skip_bad or any(check.needs for check in ready.renderer.checks):
                whole = replace(work, share=Made())
                real = pack_shards(recipe, blueprint.cohort, layout, whole)
        _, drawn = _draw(blueprint, real)
        render_shards(
            replace(recipe, checks=tuple(c for c in recipe.checks if c != DUPLICATE)),
            drawn,
            ready.renderer,
            real=real,
            layout=layout,
            work=replace(work, share=mine),
        )
    return mine.missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """What a build is made by, once its generator is loaded and found to suit."""

    blueprint: Blueprint
    loaded: generators.Loaded
    renderer: Renderer
    recipe: Recipe
    software: Mapping[str, str]  # versions and devices on which bytes depend
    layout: Layout


def _ready(
    blueprint: Blueprint,
    work: Work,
    loaded: generators.Loaded | None = None,
    tell: Tell | None = None,
) -> _Ready:
    table, packs = blueprint.cohort.table, blueprint.request.real == "pack"
    check_destination(work.destination, dataset=table.dataset, packs=packs)
    if work.destination and DUPLICATE in blueprint.request.checks and work.share.parted:
        raise UsageError(
            "--check duplicate draws images of finished shards again, and those that parts have "
            f"sent to {work.destination.shown} stay as they are: leave out --part, or the check."
        )
    if packs:
        _check_images(
            table, "add --root FOLDER, or build the synthetic half alone with --real none"
        )
    spec = blueprint.generator
    loaded = loaded or generators.find(spec.name, spec.image_size, spec.options)
    label_map = resolve_label_map(blueprint.label_map, loaded.generator.labels, loaded.name)
    folder = work.out / "shards" / blueprint.name
    batch = images_per_call(loaded.generator, blueprint.request.batch, folder)
    blueprint = replace(blueprint, request=replace(blueprint.request, batch=batch))
    recipe = resolve(blueprint, loaded, blueprint.checks, label_map)
    _check_generator(blueprint, recipe, loaded, label_map)
    check_count(recipe, blueprint.cohort.split if packs else None, blueprint.plan.synthetic)
    if tell is not None:
        tell(loaded)
    return _Ready(
        blueprint=blueprint,
        loaded=loaded,
        renderer=Renderer(
            spec=spec,
            generator=loaded.generator,
            batch=batch,
            checks=blueprint.checks,
            label_map=label_map,
        ),
        recipe=recipe,
        software=software(loaded, blueprint.checks),
        layout=_layout(recipe, table, work),
    )


def _check_images(table: LabelTable, what_to_do: str) -> None:
    """Raise UsageError where the table is of labels alone, or its images cannot be used."""
    if table.root is not None:
        check_files(table.rows["file"], table.root, table.path, table.links_to)
    elif table.dataset != "demo":
        raise UsageError(f"--dataset {table.dataset} needs its images: {what_to_do}.")


def _check_generator(
    blueprint: Blueprint, recipe: Recipe, generator: generators.Loaded, label_map: LabelMap
) -> None:
    """Raise UsageError unless the generator can show the targets at the recipe's size."""
    known, mapped = generator.generator.labels, dict(label_map)
    strange = [
        name for name in recipe.targets if name not in mapped and not find_pathology(name, known)
    ]
    if strange and blueprint.request.generator is None:
        raise UsageError(
            f"Without --generator, {generator.name} renders the images, and it cannot show "
            f"{', '.join(strange)}: name a generator by --generator, show it as one of the labels "
            f"{named_labels(known)} by --label-map '{strange[0]}=LABEL', or train one on your own "
            "images with xbuild pack and then xbuild fit-gan."
        )
    check_generator(
        generator.generator,
        name=generator.name,
        targets=recipe.targets,
        image_size=recipe.image_size,
        upsample=recipe.upsample,
        label_map=label_map,
    )


def _draw(blueprint: Blueprint, real: Sequence[Shard]) -> tuple[Plan, Draw]:
    """The final plan and what to render for it: shares are of the images that were packed."""
    request, table = blueprint.request, blueprint.cohort.table
    plan, labels = blueprint.plan, blueprint.cohort.train_labels
    if any(shard.bad for shard in real):
        packed = [s.sample for shard in real for s in shard.stored if s.sample.split == "train"]
        labels = np.array([sample.labels for sample in packed], dtype=np.int8)
        plan = request.plan(blueprint.targets, table.pathologies, labels)
    if not plan.synthetic and request.real == "none":
        raise UsageError("Every target holds its share already: there is nothing to render.")
    return plan, draw(plan, labels, blueprint.name)
