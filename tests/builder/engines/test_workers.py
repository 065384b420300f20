"""Shards over processes: each sees one GPU, and who made a shard changes nothing."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from builder.contract import CheckError, decode_image, tar
from builder.engines.painter import GeneratorPainter
from builder.engines.workers import runs_of, write_shards
from builder.write import STAGES, ShardJob

# Spawned processes find these painters by the name of a module on their path.
PAINTERS = '''
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder.render import Picture


@dataclass(frozen=True)
class SeenGpu:
    """Images that show which GPU their process sees, once there is a process for each."""

    marks: str
    redraws: None = None

    def produce(self, samples):
        number = int(os.environ["CUDA_VISIBLE_DEVICES"])
        marks = Path(self.marks)
        (marks / str(number)).touch()
        until = time.monotonic() + 60
        while len(list(marks.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        pixels = np.eye(32, dtype=np.uint8) + number
        return [Picture(sample=sample, pixels=pixels) for sample in samples]


@dataclass(frozen=True)
class Killed:
    redraws: None = None

    def produce(self, samples):
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Failing:
    redraws: None = None

    def produce(self, samples):
        raise ValueError("a bug")
'''


@pytest.fixture
def painters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module above, here and in spawned processes."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "painters_of_this_test.py").write_text(PAINTERS)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module("painters_of_this_test")


def quiet(_: int) -> None:
    return None


def test_each_process_sees_one_gpu(
    painters: ModuleType, job_of: Callable[..., ShardJob], tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    painter = painters.SeenGpu(str(marks))
    jobs = [job_of(number, painter=painter) for number in range(8)]
    shards = write_shards(jobs, workers=2, advance=quiet, gpus=("3", "4"))
    image = jobs[0].layout.image
    members = [m for job in jobs for m in tar.walk(job.path, image.codec, image.max_bytes)]
    pixels = np.stack([decode_image(member.image, image) for member in members])
    assert set(pixels[:, 0, 1].tolist()) == {3, 4}
    assert all(set(shard.waited or ()) == set(STAGES) for shard in shards)
    again = write_shards(jobs, workers=1, advance=quiet)
    assert all(shard.waited is None for shard in again)  # kept, not made
    assert [s.entry for s in again] == [s.entry for s in shards]


def test_processes_load_the_generator_by_its_description(
    job_of: Callable[..., ShardJob], painter: GeneratorPainter
) -> None:
    jobs = [job_of(number) for number in range(4)]
    told: list[int] = []
    apart = write_shards(jobs, workers=2, advance=told.append)
    assert sum(told) == 4
    for job in jobs:
        job.path.unlink()
    alone = write_shards(jobs, workers=1, advance=quiet)
    assert [s.entry for s in apart] == [s.entry for s in alone]
    assert painter.generator.name == "phantom"


def test_a_killed_worker_is_said(painters: ModuleType, job_of: Callable[..., ShardJob]) -> None:
    killed = painters.Killed()
    with pytest.raises(CheckError, match="A worker process was killed"):
        write_shards([job_of(i, painter=killed) for i in range(2)], workers=2, advance=quiet)


def test_a_failure_ends_the_build_and_keeps_what_is_complete(
    painters: ModuleType, job_of: Callable[..., ShardJob]
) -> None:
    failing = painters.Failing()
    jobs = [job_of(0), job_of(1, painter=failing)]
    write_shards(jobs[:1], workers=1, advance=quiet)
    with pytest.raises(ValueError, match="a bug"):
        write_shards(jobs, workers=2, advance=quiet)
    assert jobs[0].path.is_file()
    assert not list(jobs[0].path.parent.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("shards", "workers", "lengths"),
    [(3, 2, [1, 1, 1]), (17, 2, [2] * 8 + [1]), (100, 2, [8] * 12 + [4])],
)
def test_a_process_does_some_shards_without_a_break(
    job_of: Callable[..., ShardJob], shards: int, workers: int, lengths: list[int]
) -> None:
    jobs = [job_of(number) for number in range(shards)]
    runs = runs_of(jobs, workers)
    assert [len(run) for run in runs] == lengths
    assert [job for run in runs for job in run] == jobs
