"""Shards by actors of a Ray cluster: the bytes of local processes, whatever dies on the way."""

import importlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from builder.contract import CheckError, UsageError
from builder.engines.local import LocalEngine
from builder.render import Generator
from builder.write import ShardJob

ray = pytest.importorskip("ray", reason="Ray, of the extra [ray], is not installed")

from builder.engines.ray import Cluster, RayEngine, ray_cluster  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.long]

# Actors find these painters by the name of a module on their path.
PAINTERS = '''
import os
import socket
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder.contract import CheckError
from builder.render import Picture


def pictures(samples):
    pixels = np.eye(32, dtype=np.uint8) * 9
    return [Picture(sample=sample, pixels=pixels) for sample in samples]


@dataclass(frozen=True)
class KilledOnce:
    """The first process that makes it dies in the midst of a shard."""

    mark: Path
    redraws: None = None

    def produce(self, samples):
        yield from pictures(samples)[:1]
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from pictures(samples)[1:]


@dataclass(frozen=True)
class Poisoned:
    redraws: None = None

    def produce(self, samples):
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Refused:
    redraws: None = None

    def produce(self, samples):
        raise CheckError("The image is bad.")


@dataclass(frozen=True)
class Plain:
    redraws: None = None

    def produce(self, samples):
        return pictures(samples)
'''


@pytest.fixture(scope="module")
def painters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module above, here and in actors."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "painters_on_ray.py").write_text(PAINTERS)
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(folder), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("painters_on_ray")


@pytest.fixture(scope="module")
def cluster(painters: ModuleType) -> Iterator[Cluster]:
    """A cluster of this machine."""
    assert painters.__file__  # on the path before the cluster starts
    with ray_cluster("local") as cluster:
        yield cluster


@pytest.fixture
def engine(cluster: Cluster) -> RayEngine:
    """Two actors at most."""
    return cluster.engine(None, 2)


@pytest.fixture
def jobs_of(job_of: Callable[..., ShardJob]) -> Callable[..., list[ShardJob]]:
    """A shard for each painter, in a folder that a build has claimed."""

    def make(*painters: object) -> list[ShardJob]:
        jobs = [job_of(number, painter=painter) for number, painter in enumerate(painters)]
        jobs[0].path.parent.mkdir(parents=True)
        (jobs[0].path.parent / "recipe.json").write_text("{}")
        return jobs

    return make


def quiet(_: int) -> None:
    return None


def test_actors_make_the_bytes_of_local_processes(
    engine: RayEngine, jobs_of: Callable[..., list[ShardJob]], painters: ModuleType
) -> None:
    jobs = jobs_of(*[painters.Plain()] * 5)
    told: list[int] = []
    made = engine.write_shards(jobs, told.append)
    assert sum(told) == 5
    for job in jobs:
        job.path.unlink()
    local = LocalEngine(workers=1, gpus=(), threads=0).write_shards(jobs, quiet)
    assert [shard.entry for shard in made] == [shard.entry for shard in local]
    kept = engine.write_shards(jobs, quiet)
    assert all(shard.waited is None for shard in kept)  # proved, not made


def test_what_dies_with_its_actor_is_made_again(
    engine: RayEngine,
    jobs_of: Callable[..., list[ShardJob]],
    painters: ModuleType,
    tmp_path: Path,
) -> None:
    killed = painters.KilledOnce(tmp_path / "killed")
    jobs = jobs_of(painters.Plain(), killed, painters.Plain())
    shards = engine.write_shards(jobs, quiet)
    assert (tmp_path / "killed").exists()
    assert [shard.entry.nsamples for shard in shards if shard.entry] == [1, 1, 1]


def test_a_shard_that_kills_every_actor_is_named_and_the_others_are_made(
    engine: RayEngine, jobs_of: Callable[..., list[ShardJob]], painters: ModuleType
) -> None:
    jobs = jobs_of(*[painters.Plain()] * 17)  # a run has two of them
    jobs[3] = replace(jobs[3], painter=painters.Poisoned())
    with pytest.raises(
        CheckError, match=r"made \S+/train-00003-of-00008\.tar died .* 1 of 17 shards"
    ):
        engine.write_shards(jobs, quiet)
    assert [job.path.is_file() for job in jobs] == [number != 3 for number in range(17)]


def test_an_error_of_a_shard_is_the_same_as_here(
    engine: RayEngine, jobs_of: Callable[..., list[ShardJob]], painters: ModuleType
) -> None:
    with pytest.raises(CheckError, match=r"^The image is bad\.$"):
        engine.write_shards(jobs_of(painters.Refused()), quiet)


def test_actors_take_what_the_cluster_has(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu = cast("Generator", SimpleNamespace(device="cuda"))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 32.0, "GPU": 4.0})
    made = cluster.engine(on_gpu, None)
    assert (made.actors, made.cores, made.gpus, made.threads) == (4, 8, 1, 8)
    assert cluster.engine(on_gpu, 2).actors == 2
    real = cluster.engine(None, None)
    assert (real.actors, real.cores, real.gpus, real.threads) == (32, 1, 0, 0)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 32.0})
    with pytest.raises(UsageError, match="the Ray cluster has none"):
        cluster.engine(on_gpu, None)


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(UsageError, match="No Ray cluster answers at --address"),
        ray_cluster(address),
    ):
        pass
