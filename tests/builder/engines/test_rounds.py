"""Synthetic shards in rounds: what they took is told, and duplicates are replaced."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest

from builder.checks import Redraws, Reject
from builder.contract import Bytes, CheckError, Sample
from builder.engines.local import LocalEngine
from builder.engines.rounds import render_rounds
from builder.progress import Advance
from builder.recipe import Layout
from builder.render import Picture
from builder.write import STAGES, Painter, ShardJob

ENGINE = LocalEngine(workers=1, gpus=(), threads=0)


@contextmanager
def quiet(_: str, __: int) -> Iterator[Advance]:
    yield lambda _: None


@dataclass(frozen=True, slots=True)
class ByDraw:
    """The picture of each draw number; banned images are drawn again."""

    pixels: Bytes
    redraws: Redraws

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | Reject]:
        for sample in samples:
            made = sample
            if sample.key in self.redraws.banned:
                yield Reject(sample=sample, pixels=self.pixels[sample.draw], reason="banned")
                made = self.redraws.redrawn(sample, 1)
            yield Picture(sample=made, pixels=self.pixels[made.draw])


Jobs = Callable[[frozenset[str]], list[ShardJob]]


@pytest.fixture
def jobs(layout: Layout, synthetic: Callable[..., Sample]) -> Jobs:
    """Two shards of three images; images 1 and 4 are the same until one of them is banned."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 16), dtype=np.uint8)
    pixels[4] = pixels[1]

    def make(banned: frozenset[str]) -> list[ShardJob]:
        redraws = Redraws(draws_per_target={"Mass": 6}, banned=banned)
        return [
            ShardJob(
                layout=layout,
                url=f"shards/x/train-{number:05d}-of-00002.tar",
                samples=tuple(synthetic(i) for i in range(3 * number, 3 * number + 3)),
                painter=ByDraw(pixels, redraws),
            )
            for number in range(2)
        ]

    return make


def test_throughput_is_of_this_run_alone(jobs: Jobs, layout: Layout) -> None:
    folder = layout.shards("x")
    shards, made = render_rounds(ENGINE, jobs, folder, distinct=False, progress=quiet)
    assert (made.images, set(made.waited)) == (6, set(STAGES))
    again, kept = render_rounds(ENGINE, jobs, folder, distinct=False, progress=quiet)
    assert (kept.images, sum(kept.waited.values())) == (0, 0.0)
    assert [shard.entry for shard in again] == [shard.entry for shard in shards]


def test_duplicates_are_noted_before_they_are_replaced(jobs: Jobs, layout: Layout) -> None:
    folder = layout.shards("x")
    rounds: list[frozenset[str]] = []

    def noted(banned: frozenset[str]) -> list[ShardJob]:
        rounds.append(banned)
        if banned:
            note = json.loads((folder / "duplicates.json").read_text())
            assert note == {"draws_per_target": {"Mass": 6}, "keys": ["x-mass-0000004"]}
        return jobs(banned)

    shards, _ = render_rounds(ENGINE, noted, folder, distinct=True, progress=quiet)
    assert rounds == [frozenset(), frozenset({"x-mass-0000004"})]
    keys = [stored.sample.key for shard in shards for stored in shard.stored]
    assert "x-mass-0000010" in keys
    assert "x-mass-0000004" not in keys
    resumed: list[frozenset[str]] = []

    def again(banned: frozenset[str]) -> list[ShardJob]:
        resumed.append(banned)
        return jobs(banned)

    render_rounds(ENGINE, again, folder, distinct=True, progress=quiet)
    assert resumed == rounds  # begins in the round that was noted


def test_a_generator_that_has_collapsed_is_said(
    jobs: Jobs,
    layout: Layout,
    painter_of: Callable[..., Painter],
) -> None:
    same = np.full((3, 16, 16), 9, np.uint8)
    same[:, ::2] = 200

    def collapsed(banned: frozenset[str]) -> list[ShardJob]:
        return [replace(job, painter=painter_of(same)) for job in jobs(banned)]

    with pytest.raises(CheckError, match="5 of 6 images are duplicates of others"):
        render_rounds(ENGINE, collapsed, layout.shards("x"), distinct=True, progress=quiet)


def test_a_note_of_another_build_is_not_taken_over(jobs: Jobs, layout: Layout) -> None:
    """Its shards were removed, and the recipe may be another one."""
    folder = layout.shards("x")
    shards, _ = render_rounds(ENGINE, jobs, folder, distinct=True, progress=quiet)
    note = folder / "duplicates.json"
    noted = json.loads(note.read_text())
    for path in folder.glob("*.tar"):
        path.unlink()
    note.write_text(json.dumps({**noted, "keys": [*noted["keys"], "x-mass-0000000"]}))
    again, _ = render_rounds(ENGINE, jobs, folder, distinct=True, progress=quiet)
    assert [shard.entry for shard in again] == [shard.entry for shard in shards]
    assert json.loads(note.read_text()) == noted
