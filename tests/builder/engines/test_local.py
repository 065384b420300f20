"""Who renders: processes, GPUs, threads; and what is said of it."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from builder.contract import ImageSpec, Sample
from builder.engines import local as engine
from builder.engines.local import Engine
from builder.engines.workers import write_shards
from builder.render import BATCH, Picture
from builder.write import STAGES, Job


class OnCpu:
    labels, resolution, latent_size = ("Mass",), 8, 2

    def __call__(self, latents: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.zeros((len(latents), 8, 8), np.uint8)


class OnGpu(OnCpu):
    device = "cuda"


@pytest.fixture
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)


@pytest.mark.usefixtures("sixteen_cores")
def test_a_process_per_core_leaves_no_core_for_threads(tmp_path: Path) -> None:
    made = Engine.of(OnCpu(), workers=None, batch=None, folder=tmp_path)
    assert (made.workers, made.gpus, made.batch, made.threads) == (16, (), BATCH, 0)
    assert Engine.of(OnCpu(), workers=4, batch=7, folder=tmp_path).threads == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("sixteen_cores")
def test_a_process_per_gpu_has_threads_that_encode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    made = Engine.of(OnGpu(), workers=None, batch=128, folder=tmp_path)
    assert (made.workers, made.gpus, made.batch, made.threads) == (2, ("5", "7"), 128, 7)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert Engine.of(OnGpu(), workers=None, batch=128, folder=tmp_path).gpus == ("0", "1")


def test_the_batch_found_on_a_gpu_is_kept_by_a_build_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = iter((256, 512))
    monkeypatch.setattr(engine, "best_batch", lambda _: next(found))
    for _ in range(2):
        assert Engine.of(OnGpu(), workers=None, batch=None, folder=tmp_path).batch == 256
    assert Engine.of(OnGpu(), workers=None, batch=32, folder=tmp_path).batch == 32


def seen_gpu(samples: tuple[Sample, ...]) -> list[Picture]:
    """Images that show which GPU their process sees, once there is a process for each."""
    number = int(os.environ["CUDA_VISIBLE_DEVICES"])
    marks = Path(os.environ["MARKS"])
    (marks / str(number)).touch()
    until = time.monotonic() + 60
    while len(list(marks.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    pixels = np.eye(32, dtype=np.uint8) + number
    return [Picture(sample=sample, pixels=pixels) for sample in samples]


def job(root: Path, number: int, paint: object) -> Job:
    sample = Sample(
        key=f"x-mass-{number:07d}",
        split="train",
        origin="synthetic",
        target="Mass",
        draw=number,
        patient="",
        labels=(1,),
    )
    return Job(
        root=root,
        url=f"shards/x/train-{number:05d}-of-00008.tar",
        samples=(sample,),
        paint=paint,
        pathologies=("Mass",),
        image=ImageSpec(height=32, width=32, codec="png", quality=0),
        steps={"Mass": 8},
        threads=1,
    )


def test_each_process_sees_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import test_engine as importable  # spawned processes find the painter by this name

    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("MARKS", str(marks))
    jobs = [job(tmp_path, number, importable.seen_gpu) for number in range(8)]
    shards = write_shards(jobs, workers=2, advance=lambda _: None, gpus=("3", "4"))
    images = np.concatenate([images for _, images in engine._read_back(jobs)])
    assert set(images[:, 0, 1].tolist()) == {3, 4}
    assert all(set(shard.pace) == set(STAGES) for shard in shards)
    again = write_shards(jobs, workers=1, advance=lambda _: None)
    assert not any(shard.pace for shard in again)  # kept, not made
    assert [s.entry for s in again] == [s.entry for s in shards]
