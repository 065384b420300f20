"""The options of a build → where and by whom its shards are made."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.cli.terminal import echo
from builder.contract import UsageError, sha256_bytes

if TYPE_CHECKING:
    from builder.engines.make import Work
    from builder.engines.rounds import EngineOf
    from builder.store.destination import Destination

_HOW = ("out", "work", "workers", "skip_bad", "keep_rejects", "engine", "address")


def divided(options: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """How a dataset is built, for `working`, and the options that say what it holds."""
    how = {name: value for name, value in options.items() if name in _HOW}
    return how, {name: value for name, value in options.items() if name not in _HOW}


@contextmanager
def working(how: Mapping[str, Any]) -> Iterator["Work"]:
    """The place, and the engine at work; UsageError where Ray is not there."""
    from builder.engines.make import Work
    from builder.progress import progress

    rest = dict(how)
    out, destination = placed(rest.pop("out"), rest.pop("work"))
    with _started(rest.pop("engine"), rest.pop("address")) as engine_of:
        yield Work(
            **rest,
            out=out,
            destination=destination,
            progress=progress,
            engine=engine_of,
            note=lambda text: echo(f"Note: {text}", err=True),
        )


def placed(out: Path | str, work: Path | None) -> "tuple[Path, Destination | None]":
    """The folder in which shards are made, and where they go if they do not stay there."""
    from builder.store import default_cache_folder
    from builder.store.destination import destination_of

    if isinstance(out, Path):
        if work is not None:
            raise UsageError(
                f"--work is for a URL as --out, and shards in {out} are made there: leave it out."
            )
        return out, None
    destination = destination_of(out)
    destination.open()  # where a library is missing, it is said before anything is read
    digest = sha256_bytes(destination.shown.encode())[:16]
    return work or default_cache_folder().parent / "builds" / digest, destination


@contextmanager
def _started(engine: str, address: str | None) -> Iterator["EngineOf"]:
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
