"""The shards of a dataset's real images, and those of its synthetic ones → Shards."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from builder.checks import Check, Context, Judge, Redraws
from builder.checks.check import DUPLICATE
from builder.claim import check_shards
from builder.contract import ShardEntry, UsageError
from builder.contract.radiograph import BadImage
from builder.draw import Draw
from builder.engines.jobs import real_jobs, synthetic_jobs
from builder.engines.local import LocalEngine
from builder.engines.looked_at import note_looked_at
from builder.engines.painter import GeneratorPainter
from builder.engines.parts import Share, Whole
from builder.engines.reports import kinds_of, report_bad_images, why
from builder.engines.rounds import EngineOf, Throughput, render_rounds
from builder.engines.travel import fetched_back, send_all
from builder.pack import real_painter, real_samples
from builder.progress import Progress
from builder.recipe import GeneratorSpec, Layout, RealRecipe, Recipe
from builder.render import Generator, LabelMap, on_gpu
from builder.split import Cohort
from builder.store.destination import Destination
from builder.write import Shard, ShardJob, absent

_TRIED = 32  # images that are read before all are
_MANY = 1000  # real images: fewer are read in seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Where and how a dataset is built; what it holds, the recipe says."""

    out: Path
    workers: int | None  # processes; None: one per core, or per GPU where the generator uses them
    skip_bad: bool  # leave out real images that cannot be read
    progress: Progress
    keep_rejects: bool = False
    engine: EngineOf = LocalEngine.of
    share: Share = field(default_factory=Whole)
    destination: Destination | None = None  # where all goes from `out`; None: it stays there
    note: Callable[[str], object] = lambda _: None  # is called with what the user should know


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """The generator that renders, how processes load it, and what its images must pass."""

    spec: GeneratorSpec
    generator: Generator
    batch: int  # images per call
    checks: tuple[Check, ...]
    label_map: LabelMap = ()


def pack_shards(recipe: RealRecipe, cohort: Cohort, layout: Layout, work: Work) -> list[Shard]:
    """The finished shards of the real images."""
    every = real_jobs(recipe, cohort, layout, skip_bad=work.skip_bad)
    jobs = work.share.choose(every)
    if sum(len(job.samples) for job in jobs) >= _MANY and len(absent(jobs)) == len(jobs):
        _try_some(recipe, cohort, skip_bad=work.skip_bad)
    engine = work.engine(None, work.workers)
    with work.progress("packing real images", sum(len(job.samples) for job in jobs)) as advance:
        shards = engine.write_shards(jobs, advance)
    report = layout.root / f"{recipe.name}{work.share.mark}-left-out.csv"
    asked = {job.samples[0].split for job in jobs} if len(jobs) == len(every) else None
    report_bad_images(shards, report, skip_bad=work.skip_bad, asked=asked)
    kept = sum(shard.waited is None for shard in shards)
    if kept and recipe.dataset != "demo" and not work.share.parted:
        work.note(_kept_note(kept, len(shards), layout.shards(recipe.train_folder)))
    return shards


def _kept_note(kept: int, count: int, folder: Path) -> str:
    """What is not seen in the shards: images that have changed since, as by another --root."""
    read = "no image was read again" if kept == count else "their images were not read again"
    shards = "1 real shard was" if count == 1 else f"{kept:,} of {count:,} real shards were"
    return f"{shards} complete already, so {read}; remove {folder} to pack all anew."


def _try_some(recipe: RealRecipe, cohort: Cohort, *, skip_bad: bool) -> None:
    """Raise UsageError where images from the whole table are all bad, and all for one reason.

    Otherwise a wrong option would be found only after hours. Missing files take no time to find,
    and may be meant to be left out.
    """
    split, table = cohort.split, cohort.table
    rows = np.concatenate([split.train, split.val, split.test])
    some = rows[np.linspace(0, len(rows) - 1, _TRIED).astype(int)].tolist()
    painter = real_painter(table, some, recipe.image_size, recipe.reading)
    made = painter.produce(list(real_samples(table, some, "train", recipe.seed)))
    bad = [item for item in made if isinstance(item, BadImage)]
    if len(bad) < len(some) or len(kinds_of(bad)) > 1 or (skip_bad and bad[0].reason == "missing"):
        return
    raise UsageError(
        f"None of {len(some)} images from all over the table can be packed: {why(bad)}; nothing "
        "more was read."
    )


def render_shards(
    recipe: Recipe,
    drawn: Draw,
    renderer: Renderer,
    real: Sequence[Shard],
    layout: Layout,
    work: Work,
) -> tuple[list[Shard], Throughput]:
    """The finished shards of the images in `drawn`; `real` is what checks may look at."""
    folder = layout.shards(recipe.name)
    engine = work.engine(renderer.generator, work.workers)
    draws = drawn.draws_per_target()
    rejects_dir = layout.root / f"{recipe.name}-rejected" if work.keep_rejects else None
    distinct = DUPLICATE in recipe.checks
    # Duplicates are drawn again in finished shards, so none is sent before all were compared.
    here = replace(layout, destination=None) if distinct else layout
    entries = tuple(shard.entry for shard in real if shard.entry)
    note_looked_at(renderer.checks, entries, here, folder, shared=work.share.parted)
    with _scratch(folder if engine.remote or layout.destination else None) as scratch:
        context = _context(layout, entries, renderer, scratch, work.progress)
        rendered = [target for target, count in draws.items() if count]
        painter = GeneratorPainter(
            generator=renderer.spec,
            layout=here,
            seed=recipe.seed,
            batch=renderer.batch,
            judges=_judges(renderer.checks, context, rendered, work.progress),
            redraws=Redraws(draws_per_target=draws, rejects_dir=rejects_dir),
            label_map=renderer.label_map,
            threads=engine.threads,
        )

        def jobs(banned: frozenset[str]) -> list[ShardJob]:
            made = synthetic_jobs(
                drawn,
                painter.banning(banned),
                shard_size=recipe.shard_size,
                threads=engine.threads,
            )
            check_shards(layout, folder, [job.path for job in made])
            return [*work.share.choose(made)]

        shards, throughput = render_rounds(
            engine, jobs, folder, distinct=distinct, progress=work.progress
        )
        if distinct and layout.destination is not None:
            send_all(shards, layout, layout.destination, work.progress)
        return shards, throughput


def _context(
    layout: Layout,
    entries: tuple[ShardEntry, ...],
    renderer: Renderer,
    scratch: Path,
    progress: Progress,
) -> Context:
    """What checks may look at: the real shards, which are fetched back where they were sent."""
    splits = {split for check in renderer.checks for split in check.needs}
    if layout.destination is not None and splits:
        wanted = [entry for entry in entries if entry.split in splits]
        layout = fetched_back(wanted, layout, layout.destination, scratch, progress)
    device = "cuda" if on_gpu(renderer.generator) else "cpu"
    return Context(layout=layout, shards=entries, scratch=scratch, device=device)


@contextmanager
def _scratch(shared: Path | None) -> Iterator[Path]:
    """A folder that all processes of an engine can read, and of which nothing is left."""
    if shared is not None:
        shared.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".scratch-", dir=shared) as scratch:
        yield Path(scratch)


def _judges(
    checks: Sequence[Check], context: Context, targets: Sequence[str], progress: Progress
) -> tuple[Judge, ...]:
    """The checks made ready for images of `targets`, by what the real images show."""
    total = sum(s.nsamples for check in checks for s in context.shards if s.split in check.needs)
    with progress("reading real images", total) if total else nullcontext() as advance:
        ready = replace(context, advance=advance) if advance else context
        return tuple(check.prepared(ready, targets) for check in checks)
