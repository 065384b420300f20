"""Shards on the machines of a Ray cluster: one actor per GPU, or per core → RayEngine."""

import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from builder.contract import UsageError, printable
from builder.engines.ray_actors import Counts, Maker, Place
from builder.engines.ray_line import Line
from builder.engines.ray_messages import others_on_stderr
from builder.progress import Advance
from builder.render import Generator, on_gpu
from builder.write import Shard, ShardJob

_ANSWER = 10.0  # seconds for a cluster's port to answer


@contextmanager
def ray_cluster(address: str) -> Iterator["Cluster"]:
    """A connection to the cluster at `address`, or with `local` to a new one on this machine.

    UsageError where no cluster answers.
    """
    _check_address(address)
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise UsageError(_no_cluster(address, error)) from None
    try:
        with others_on_stderr():
            yield Cluster()
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise UsageError where nothing listens at HOST:PORT, which Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and "/" not in host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UsageError(_no_cluster(address, error)) from None


def _no_cluster(address: str, error: Exception) -> str:
    return (
        f"No Ray cluster answers at --address {printable(address)} ({printable(str(error))}): "
        "start one by `ray start --head`, or leave out --address for one on this machine; if the "
        "cluster asks for a token, set RAY_AUTH_MODE=token here, too."
    )


class Cluster:
    """A Ray cluster to which this process is connected."""

    def engine(self, generator: Generator | None, workers: int | None) -> "RayEngine":
        """One actor per GPU where the generator uses them, otherwise per core; at most `workers`.

        UsageError where a GPU is needed and the cluster has none.
        """
        has: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cores, gpus = int(has.get("CPU", 1)), int(has.get("GPU", 0))
        on_gpus = generator is not None and on_gpu(generator)
        if on_gpus and not gpus:
            raise UsageError(
                "This process sees a GPU and the Ray cluster has none: start its nodes with GPUs, "
                "or hide them here by CUDA_VISIBLE_DEVICES=."
            )
        actors = min(workers or cores, gpus if on_gpus else cores)
        each = max(cores // actors, 1)
        return RayEngine(
            actors=actors,
            cores=each if on_gpus else 1,
            gpus=int(on_gpus),
            threads=each if on_gpus else 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Actors, and what each takes of the cluster."""

    actors: int
    cores: int
    gpus: int
    threads: int

    @property
    def remote(self) -> bool:
        """Always: actors may be anywhere."""
        return True

    def write_shards(self, jobs: Sequence[ShardJob], advance: Advance) -> list[Shard]:
        """The shards of all jobs; CheckError names those that killed every actor that tried."""
        if not jobs:
            return []
        # Another machine may be lost, and this process would not be told anything any more.
        here = ray.get_runtime_context().get_node_id()
        counts: Any = (
            ray.remote(Counts)
            .options(
                num_cpus=0,
                max_restarts=-1,
                max_task_retries=-1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
            )
            .remote()
        )
        maker: Any = ray.remote(Maker).options(num_cpus=self.cores, num_gpus=self.gpus)
        place = Place(counts=counts, home=Path.cwd())
        line = Line(jobs=jobs, start=maker.remote, actors=self.actors, place=place, advance=advance)
        try:
            return line.run()
        finally:
            line.stop()
            ray.kill(counts)
