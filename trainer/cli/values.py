"""The values of shared options: their types, and the arguments that they stand for."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from builder.contract import UsageError
from builder.contract.precision import AskedPrecision
from trainer.fit.track import TrackerName
from trainer.recipe import ArmName, Augment, Optimizer, Schedule, Steps

if TYPE_CHECKING:
    from builder.store import Cache
    from trainer.config import Machine, RunPlan, Settings
    from trainer.stream.locate import Located


class DatasetOptions(TypedDict):
    """The values of `dataset` and `arm`."""

    shards: str
    shards_root: str | None
    arm: ArmName | None


class MachineOptions(TypedDict):
    """The values of `machine`."""

    device: str
    workers: int
    skip_bad: bool
    cache_dir: Path | None
    cache_size: str


class PointOptions(TypedDict):
    """The values of `point`, which a grid varies."""

    batch: int
    lr: float
    optimizer: Optimizer


class RunOptions(MachineOptions):
    """The values of `shown`, `training`, `machine`, `memory`, `saving` and `scoring`."""

    augment: Augment
    mix: str
    steps: Steps
    epochs: int
    network: str
    init: str
    precision: AskedPrecision
    schedule: Schedule
    accumulate: int
    compile: bool
    sync_batchnorm: bool
    seed: int
    cache: str | None
    checkpoint_minutes: float
    track: tuple[TrackerName, ...]
    min_positives: int


class ExternalOptions(TypedDict):
    """The values of `external`."""

    tests: tuple[str, ...]
    test_labels: tuple[str, ...]


class WeightOptions(TypedDict):
    """The value of `synthetic_weight`."""

    synthetic_weight: float


def cache_of(options: MachineOptions) -> "Cache":
    """Where shards from a URL are kept."""
    from builder.store import Cache, default_cache_folder
    from trainer.stream.ram import parse_bytes

    return Cache(
        folder=options["cache_dir"] or default_cache_folder(),
        max_bytes=parse_bytes("--cache-size", options["cache_size"]),
    )


def settings_of(
    options: RunOptions,
    point: PointOptions,
    synthetic_weight: float = 1.0,
    *,
    processes: int = 1,
) -> "Settings":
    """How to train and score, in each of so many processes of this machine at once."""
    from trainer.config import Machine, Settings

    return Settings(
        epochs=options["epochs"],
        batch=point["batch"],
        lr=point["lr"],
        optimizer=point["optimizer"],
        augment=options["augment"],
        mix=options["mix"],
        steps=options["steps"],
        network=options["network"],
        init=options["init"],
        seed=options["seed"],
        precision=options["precision"],
        schedule=options["schedule"],
        accumulate=options["accumulate"],
        compile=options["compile"],
        sync_batchnorm=options["sync_batchnorm"],
        synthetic_weight=synthetic_weight,
        skip_bad=options["skip_bad"],
        min_positives=options["min_positives"],
        machine=Machine(
            device=options["device"],
            workers=options["workers"],
            ram_bytes=_ram_bytes(options["cache"], processes),
            cache=cache_of(options),
            save_every=60 * options["checkpoint_minutes"],
            track=options["track"],
        ),
    )


def with_tests(plan: "RunPlan", found: "Located", options: ExternalOptions) -> "RunPlan":
    """The run on that dataset, with the external tests that were asked for."""
    from trainer.evaluate.external import external_tests, read_pairs
    from trainer.stream.locate import locate

    tests = [(path, locate(path, None, plan.machine.cache)) for path in options["tests"]]
    asked = read_pairs(options["test_labels"])
    return replace(plan, tests=external_tests(tests, found, asked))


def scoring_machine(options: MachineOptions) -> "Machine":
    """What a command may use that scores and does not train."""
    from trainer.config import Machine

    return Machine(
        device=options["device"],
        workers=options["workers"],
        ram_bytes=0,
        cache=cache_of(options),
        save_every=math.inf,
        track=(),
    )


def _ram_bytes(cache: str | None, processes: int) -> int:
    """The bytes that --cache stands for in each of so many processes."""
    from trainer.stream.ram import half_of_free, parse_bytes

    kind, _, size = (cache or "").partition(":")
    if kind not in ("", "ram"):
        raise UsageError(f"--cache {kind} is unknown: use ram, or ram:20GB.")
    if not kind:
        return 0
    return parse_bytes("--cache", size) if size else half_of_free() // processes
