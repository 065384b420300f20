"""Which samples go into which shard: the cuts, names and painters of real and synthetic shards."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from builder.checks import Banned, Judge, Reject, accepted
from builder.contract import CheckError, ImageSpec, Labels, Sample, write_last
from builder.draw import Draw
from builder.labels import LabelTable
from builder.pack import pack_files, pack_phantoms, real_samples
from builder.recipe import Recipe
from builder.render import Generator, Picture, render
from builder.split import Split
from builder.write import Job, Paint, Shard, cut
from builder.write.encode import encode


def pack_jobs(
    recipe: Recipe, table: LabelTable, split: Split, *, root: Path, skip_bad: bool
) -> list[Job]:
    """The shards of the real images that a regime uses: its part of train, all of val and test.

    Train is cut at the ends of the paper's regimes, and numbered over the whole training set: a
    smaller regime lists a prefix of the same files.
    """
    parts = (
        ("train", recipe.train_folder, split.train, split.full_boundaries),
        ("val", "real", split.val, (len(split.val),)),
        ("test", "real", split.test, (len(split.test),)),
    )
    jobs = []
    for name, folder, rows, boundaries in parts:
        ranges = cut(boundaries, recipe.shard_size)
        for number, span in enumerate(ranges):
            if span.stop > len(rows):
                break
            inside = rows[span.start : span.stop].tolist()
            jobs.append(
                Job(
                    root=root,
                    url=_url(folder, name, number, len(ranges)),
                    samples=tuple(real_samples(table, inside, name, recipe.seed)),
                    paint=_painter(table, inside, recipe.image_size),
                    pathologies=table.pathologies,
                    image=recipe.image,
                    skip_bad=skip_bad,
                )
            )
    return jobs


def render_jobs(
    recipe: Recipe,
    drawn: Draw,
    pathologies: tuple[str, ...],
    *,
    load: Callable[[], Generator],
    judges: Sequence[Judge],
    root: Path,
    batch: int,
    threads: int,
    banned: frozenset[str],
    aside: Path | None,
) -> list[Job]:
    """The shards of the synthetic images.

    `load` gives the generator, in each process its own; images with the keys `banned` are drawn
    again; `aside` is the folder for rejected images.
    """
    steps = drawn.steps()
    paint = partial(
        _render,
        load=load,
        recipe=recipe,
        pathologies=pathologies,
        batch=batch,
        judges=(*judges, Banned(banned)) if banned else tuple(judges),
        steps=steps,
        aside=aside,
    )
    ranges = cut((len(drawn),), recipe.shard_size)
    return [
        Job(
            root=root,
            url=_url(recipe.name, "train", number, len(ranges)),
            samples=tuple(drawn.samples(span.start, span.stop)),
            paint=paint,
            pathologies=pathologies,
            image=recipe.image,
            steps=steps,
            banned=banned,
            aside=aside,
            threads=threads,
        )
        for number, span in enumerate(ranges)
    ]


def packed_labels(shards: Sequence[Shard]) -> Labels:
    """int8 [N, L] labels of the real training images that were packed, in order."""
    rows = [s.labels for shard in shards for s in shard.samples if s.split == "train"]
    return np.array(rows, dtype=np.int8)


def bad_images(shards: Sequence[Shard], report: Path, *, skip_bad: bool) -> None:
    """List the images that could not be packed in `report`; CheckError unless `skip_bad`."""
    bad = [image for shard in shards for image in shard.bad]
    if not bad:
        report.unlink(missing_ok=True)  # of a run before the images were mended
        return
    text = io.StringIO()
    csv.writer(text).writerows([("image", "reason"), *((b.image, b.reason) for b in bad)])
    write_last(report, text.getvalue().encode())
    if not skip_bad:
        raise CheckError(
            f"{len(bad)} real images cannot be packed, the first is {bad[0].image} "
            f"({bad[0].reason}); all are listed in {report}: mend them, or leave them out by "
            "--skip-bad."
        )
    if not any(s.split == "train" for shard in shards for s in shard.samples):
        raise CheckError(f"No real training image could be packed; the reasons are in {report}.")


def list_rejects(shards: Sequence[Shard], report: Path) -> dict[str, int]:
    """The number of rejected images for each reason; all are listed in the CSV `report`."""
    rejects = [reject for shard in shards for reject in shard.rejects]
    if not rejects:
        report.unlink(missing_ok=True)
        return {}
    text = io.StringIO()
    rows = [(s.key, s.target, s.draw, reason) for s, reason in rejects]
    csv.writer(text).writerows([("key", "target", "draw", "reason"), *rows])
    write_last(report, text.getvalue().encode())
    return dict(sorted(Counter(reason for _, reason in rejects).items()))


def _url(folder: str, split: str, number: int, total: int) -> str:
    return f"shards/{folder}/{split}-{number:05d}-of-{total:05d}.tar"


def _painter(table: LabelTable, rows: Sequence[int], image_size: int) -> Paint:
    if table.dataset == "demo":
        return partial(
            pack_phantoms, numbers=rows, pathologies=table.pathologies, image_size=image_size
        )
    assert table.root is not None, "the line refuses a table without images before this step"
    names = table.rows["file"].iloc[list(rows)].tolist()
    return partial(pack_files, root=table.root, names=names, image_size=image_size)


def _render(
    samples: Sequence[Sample],
    *,
    load: Callable[[], Generator],
    recipe: Recipe,
    pathologies: Sequence[str],
    batch: int,
    judges: Sequence[Judge],
    steps: dict[str, int],
    aside: Path | None,
) -> Iterator[Picture | Reject]:
    paint = partial(
        render,
        load(),
        pathologies=pathologies,
        image_size=recipe.image_size,
        seed=recipe.seed,
        batch=batch,
    )
    keep = partial(_keep, folder=aside, image=recipe.image) if aside else lambda _: None
    return accepted(paint, samples, judges=judges, steps=steps, aside=keep)


def _keep(reject: Reject, *, folder: Path, image: ImageSpec) -> None:
    """Write a rejected image to the folder, lossless."""
    folder.mkdir(parents=True, exist_ok=True)
    lossless = replace(image, codec="png", quality=0)
    write_last(folder / f"{reject.sample.key}.png", encode(reject.pixels, lossless))
