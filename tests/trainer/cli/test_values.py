import math
from pathlib import Path

import pytest

from builder.contract import UsageError
from trainer.cli.values import (
    MachineOptions,
    PointOptions,
    RunOptions,
    cache_of,
    scoring_machine,
    settings_of,
)

MACHINE: MachineOptions = {
    "device": "cpu",
    "workers": 3,
    "skip_bad": True,
    "cache_dir": Path("kept"),
    "cache_size": "2GB",
}
POINT: PointOptions = {"batch": 16, "lr": 0.01, "optimizer": "momentum"}


def asked(cache: str | None = None) -> RunOptions:
    return {
        **MACHINE,
        "augment": "none",
        "mix": "real=1",
        "steps": "own",
        "epochs": 4,
        "network": "resnet18",
        "init": "random",
        "precision": "bf16",
        "schedule": "cosine",
        "accumulate": 2,
        "compile": True,
        "sync_batchnorm": True,
        "seed": 7,
        "cache": cache,
        "checkpoint_minutes": 0.5,
        "track": ("wandb",),
        "min_positives": 5,
    }


def test_options_become_settings_under_their_names() -> None:
    settings = settings_of(asked(), POINT)
    for name, value in (asked() | POINT).items():
        if hasattr(settings, name):
            assert getattr(settings, name) == value
    machine = settings.machine
    assert (machine.device, machine.workers, machine.track) == ("cpu", 3, ("wandb",))
    assert (machine.save_every, machine.ram_bytes) == (30.0, 0)
    assert (machine.cache.folder, machine.cache.max_bytes) == (Path("kept"), 2 * 10**9)


def test_shards_from_a_url_have_a_folder_by_default() -> None:
    assert cache_of(MACHINE | {"cache_dir": None}).folder.name == "shards"


def test_memory_is_a_size_or_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.stream.ram.half_of_free", lambda: 17)
    assert settings_of(asked("ram"), POINT).machine.ram_bytes == 17
    assert settings_of(asked("ram:3M"), POINT).machine.ram_bytes == 3 * 10**6
    with pytest.raises(UsageError, match="--cache disk is unknown: use ram"):
        settings_of(asked("disk"), POINT)


def test_processes_divide_what_is_free_and_each_takes_a_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.stream.ram.half_of_free", lambda: 17)
    assert settings_of(asked("ram"), POINT, processes=4).machine.ram_bytes == 4
    assert settings_of(asked("ram:3M"), POINT, processes=4).machine.ram_bytes == 3 * 10**6


def test_scoring_saves_and_tracks_nothing() -> None:
    machine = scoring_machine(MACHINE)
    assert (machine.save_every, machine.track, machine.ram_bytes) == (math.inf, (), 0)
    assert (machine.device, machine.workers) == ("cpu", 3)
