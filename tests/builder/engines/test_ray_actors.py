"""What an actor makes, and the machines on which it makes nothing. No cluster is needed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.contract import CheckError
from builder.engines import ray_actors
from builder.engines.painter import GeneratorPainter
from builder.engines.ray_actors import ELSEWHERE, Counts, Maker, Place
from builder.software import software
from builder.write import ShardJob


def note(jobs: list[ShardJob], versions: dict[str, str]) -> None:
    """The recipe beside the shards, as the process that began the build wrote it."""
    text = json.dumps({"software": versions})
    (jobs[0].path.parent / "recipe.json").write_text(text)


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def place(counts: Counts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The folder of the process that sends jobs; a call of the counting actor is done at once."""
    monkeypatch.chdir(tmp_path)
    actor = SimpleNamespace(put=SimpleNamespace(remote=counts.put))
    return Place(counts=actor, home=tmp_path)


@pytest.fixture
def jobs(job_of: Callable[..., ShardJob]) -> list[ShardJob]:
    """Two shards without their painter, in a folder that a build has claimed."""
    made = [replace(job_of(number), painter=ELSEWHERE) for number in range(2)]
    made[0].path.parent.mkdir(parents=True)
    note(made, software())
    return made


def test_a_run_is_made_and_counted(
    place: Place, counts: Counts, jobs: list[ShardJob], painter: GeneratorPainter
) -> None:
    shards = Maker().make(place, 5, jobs, painter, painter)
    assert [shard.entry.url for shard in shards if shard.entry] == [job.url for job in jobs]
    assert all(job.path.is_file() for job in jobs)
    assert 0 <= counts.images()[5] <= 2  # told from time to time, not at the end


def test_a_job_without_its_painter_makes_nothing(jobs: list[ShardJob]) -> None:
    with pytest.raises(AssertionError, match="the painter was not put back"):
        jobs[0].painter.produce(jobs[0].samples)


def test_a_machine_that_would_make_other_bytes_is_refused(
    place: Place, jobs: list[ShardJob], painter: GeneratorPainter
) -> None:
    for name, found in (("pillow", r".*"), ("device", "None"), ("lab-gan", "None")):
        note(jobs, {**software(), name: "1.0"})
        with pytest.raises(CheckError, match=rf"has {name} {found}, and the build was begun with"):
            Maker().make(place, 0, jobs, painter, painter)


def test_a_machine_with_another_kind_of_cpu_is_refused(
    place: Place,
    jobs: list[ShardJob],
    painter: GeneratorPainter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_actors, "device_facts", lambda _: {"device": "aarch64 with DEFAULT"})
    with pytest.raises(CheckError, match=r"has device aarch64 with DEFAULT, and the .* with None"):
        Maker().make(place, 0, jobs, painter, painter)


def test_a_machine_without_the_shared_folders_is_refused(
    place: Place, jobs: list[ShardJob], painter: GeneratorPainter, tmp_path: Path
) -> None:
    with pytest.raises(CheckError, match=r"does not have the folder .*nowhere"):
        Maker().make(replace(place, home=tmp_path / "nowhere"), 0, jobs, painter, painter)
    (jobs[0].path.parent / "recipe.json").unlink()
    with pytest.raises(CheckError, match="--out must be on a disk that all machines"):
        Maker().make(place, 0, jobs, painter, painter)
