"""Who renders: processes, GPUs, threads; what is said of it; and rounds without duplicates."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from builder.checks import Redraws, Reject
from builder.contract import Bytes, CheckError, Sample, UsageError
from builder.engines import local
from builder.engines.local import Engine, images_per_call
from builder.progress import Advance
from builder.recipe import Layout
from builder.render import BATCH, GPU_BATCH, Picture
from builder.write import STAGES, Painter, ShardJob


class OnCpu:
    labels, resolution, latent_size = ("Mass",), 8, 2

    def __call__(
        self, latents: npt.NDArray[np.float32], _: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        return np.zeros((len(latents), 8, 8), np.uint8)


class OnGpu(OnCpu):
    device = "cuda"


@pytest.fixture
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.engines.local.usable_cores", lambda: 16)


@pytest.mark.usefixtures("_sixteen_cores")
def test_a_process_per_core_leaves_no_core_for_threads() -> None:
    made = Engine.of(OnCpu(), workers=None)
    assert (made.workers, made.gpus, made.threads) == (16, (), 0)
    assert Engine.of(OnCpu(), workers=4).threads == 3


@pytest.mark.usefixtures("_sixteen_cores")
def test_a_process_per_gpu_has_threads_that_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    made = Engine.of(OnGpu(), workers=None)
    assert (made.workers, made.gpus, made.threads) == (2, ("5", "7"), 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert Engine.of(OnGpu(), workers=None).gpus == ("0", "1")


def test_the_batch_is_fixed_unless_a_trial_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "best_batch", lambda _: 256)
    assert images_per_call(OnGpu(), None, tmp_path) == GPU_BATCH
    assert images_per_call(OnGpu(), 32, tmp_path) == 32
    assert images_per_call(OnGpu(), "auto", tmp_path) == 256
    assert images_per_call(OnCpu(), "auto", tmp_path) == images_per_call(OnCpu(), None, tmp_path)
    assert images_per_call(OnCpu(), None, tmp_path) == BATCH


def test_a_resumed_build_keeps_the_batch_of_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "best_batch", lambda _: 256)
    (tmp_path / "recipe.json").write_text('{"batch": 512}')
    assert images_per_call(OnGpu(), "auto", tmp_path) == 256  # nothing is finished
    (tmp_path / "train-00000-of-00001.tar").touch()
    assert images_per_call(OnGpu(), "auto", tmp_path) == 512


# --- rounds ---------------------------------------------------------------------------------------

ENGINE = Engine(workers=1, gpus=(), threads=0)


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
    shards, made = ENGINE.render(jobs, folder, distinct=False, progress=quiet)
    assert (made.images, set(made.waited)) == (6, set(STAGES))
    again, kept = ENGINE.render(jobs, folder, distinct=False, progress=quiet)
    assert (kept.images, sum(kept.waited.values())) == (0, 0.0)
    assert [shard.entry for shard in again] == [shard.entry for shard in shards]


def test_a_shard_of_another_plan_is_refused(jobs: Jobs, layout: Layout) -> None:
    ENGINE.render(jobs, layout.shards("x"), distinct=False, progress=quiet)
    with pytest.raises(UsageError, match="belongs to another plan than today's"):
        ENGINE.render(
            lambda banned: jobs(banned)[:1], layout.shards("x"), distinct=False, progress=quiet
        )


def test_duplicates_are_noted_before_they_are_replaced(jobs: Jobs, layout: Layout) -> None:
    folder = layout.shards("x")
    rounds: list[frozenset[str]] = []

    def noted(banned: frozenset[str]) -> list[ShardJob]:
        rounds.append(banned)
        if banned:
            note = json.loads((folder / "duplicates.json").read_text())
            assert note == {"draws_per_target": {"Mass": 6}, "keys": ["x-mass-0000004"]}
        return jobs(banned)

    shards, _ = ENGINE.render(noted, folder, distinct=True, progress=quiet)
    assert rounds == [frozenset(), frozenset({"x-mass-0000004"})]
    keys = [stored.sample.key for shard in shards for stored in shard.stored]
    assert "x-mass-0000010" in keys
    assert "x-mass-0000004" not in keys
    resumed: list[frozenset[str]] = []

    def again(banned: frozenset[str]) -> list[ShardJob]:
        resumed.append(banned)
        return jobs(banned)

    ENGINE.render(again, folder, distinct=True, progress=quiet)
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
        ENGINE.render(collapsed, layout.shards("x"), distinct=True, progress=quiet)
