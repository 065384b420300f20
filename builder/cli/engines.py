"""--engine and --address → the engine that makes shards."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from builder.contract import UsageError

if TYPE_CHECKING:
    from builder.engines.engine import EngineOf


@contextmanager
def started(engine: str, address: str | None) -> Iterator["EngineOf"]:
    """The engine that was asked for; UsageError where Ray is not installed or does not answer."""
    if engine == "local":
        from builder.engines.local import LocalEngine

        if address is not None:
            raise UsageError("--address is of a Ray cluster: add --engine ray.")
        yield LocalEngine.of
        return
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray: pip install 'cxr-rebalance[ray]'.")
    from builder.engines.ray import ray_cluster

    with ray_cluster(address or "local") as cluster:
        yield cluster.engine
