"""Which samples go into which shard, for real and for synthetic images → ShardJob."""

from collections.abc import Iterator
from dataclasses import dataclass

from builder.contract import MAX_SHARDS, UsageError
from builder.contract import Split as SplitName
from builder.draw import Draw
from builder.engines.painter import GeneratorPainter
from builder.pack import real_painter, real_samples
from builder.recipe import Layout, RealRecipe
from builder.split import Cohort, RowNumbers, Split
from builder.write import ShardJob, cut


@dataclass(frozen=True, slots=True, kw_only=True)
class _RealShard:
    """The rows of the label table that go into one shard."""

    split: SplitName
    url: str
    rows: list[int]


def real_jobs(
    recipe: RealRecipe, cohort: Cohort, layout: Layout, *, skip_bad: bool
) -> list[ShardJob]:
    """The shards of the real images that a regime uses: its part of train, all of val and test.

    Train is cut at the ends of the paper's regimes and numbered over the whole training set, so
    that a smaller regime lists a prefix of the same files.
    """
    table = cohort.table
    return [
        ShardJob(
            layout=layout,
            url=shard.url,
            samples=tuple(real_samples(table, shard.rows, shard.split, recipe.seed)),
            painter=real_painter(table, shard.rows, recipe.image_size, recipe.reading),
            skip_bad=skip_bad,
        )
        for shard in _real_shards(recipe, cohort.split, recipe.shard_size)
    ]


def check_count(recipe: RealRecipe, split: Split | None, synthetic: int) -> None:
    """Raise UsageError, before any is made, where shards are more than a manifest can list.

    `split` is None where no real image is packed; `synthetic` is how many images are rendered.
    """

    def shards(size: int) -> int:
        real = 0 if split is None else sum(1 for _ in _real_shards(recipe, split, size))
        return real + -(-synthetic // size)

    count, enough = shards(recipe.shard_size), recipe.shard_size
    while shards(enough) > MAX_SHARDS:
        enough *= 2
    if enough > recipe.shard_size:
        raise UsageError(
            f"--shard-size {recipe.shard_size} makes {count:,} shards, and a dataset may have "
            f"{MAX_SHARDS:,}: use --shard-size {enough} or more."
        )


def _real_shards(recipe: RealRecipe, split: Split, size: int) -> Iterator[_RealShard]:
    """Which rows go into which shard of at most `size` images."""
    parts: tuple[tuple[SplitName, str, RowNumbers, tuple[int, ...]], ...] = (
        ("train", recipe.train_folder, split.train, split.full_boundaries),
        ("val", "real", split.val, (len(split.val),)),
        ("test", "real", split.test, (len(split.test),)),
    )
    for name, folder, rows, boundaries in parts:
        ranges = cut(boundaries, size)
        for number, span in enumerate(ranges):
            if span.stop > len(rows):
                break
            url = _url(folder, name, number, len(ranges))
            yield _RealShard(split=name, url=url, rows=rows[span.start : span.stop].tolist())


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
