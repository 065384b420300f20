"""Which samples go into which shard, for real and for synthetic images → ShardJob."""

from builder.contract import Split as SplitName
from builder.draw import Draw
from builder.engines.painter import GeneratorPainter
from builder.pack import real_painter, real_samples
from builder.recipe import Layout, RealRecipe
from builder.split import Cohort, RowNumbers
from builder.write import ShardJob, cut


def real_jobs(
    recipe: RealRecipe, cohort: Cohort, layout: Layout, *, skip_bad: bool
) -> list[ShardJob]:
    """The shards of the real images that a regime uses: its part of train, all of val and test.

    Train is cut at the ends of the paper's regimes and numbered over the whole training set, so
    that a smaller regime lists a prefix of the same files.
    """
    table, split = cohort.table, cohort.split
    parts: tuple[tuple[SplitName, str, RowNumbers, tuple[int, ...]], ...] = (
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
                ShardJob(
                    layout=layout,
                    url=_url(folder, name, number, len(ranges)),
                    samples=tuple(real_samples(table, inside, name, recipe.seed)),
                    painter=real_painter(table, inside, recipe.image_size, recipe.reading),
                    skip_bad=skip_bad,
                )
            )
    return jobs


def synthetic_jobs(
    drawn: Draw, painter: GeneratorPainter, *, shard_size: int, threads: int
) -> list[ShardJob]:
    """The shards of the synthetic images, which `threads` per process encode."""
    ranges = cut((len(drawn),), shard_size)
    return [
        ShardJob(
            layout=painter.layout,
            url=_url(drawn.name, "train", number, len(ranges)),
            samples=tuple(drawn.samples(span.start, span.stop)),
            painter=painter,
            threads=threads,
        )
        for number, span in enumerate(ranges)
    ]


def _url(folder: str, split: SplitName, number: int, total: int) -> str:
    return f"shards/{folder}/{split}-{number:05d}-of-{total:05d}.tar"
