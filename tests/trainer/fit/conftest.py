"""Runs of a small network on the tiny dataset."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainer.arms import make_arm
from trainer.fit.control import Control, Place, Wish
from trainer.fit.history import Epoch
from trainer.fit.loop import fit
from trainer.recipe import Recipe, RunConfig
from trainer.stream.batches import Dataset


def small() -> nn.Module:
    """A network with everything that a checkpoint must keep, in milliseconds."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
    )
    network.add_module("classifier", nn.Linear(128, 3))  # the name in every best.safetensors
    return network


@pytest.fixture
def config_of() -> Callable[[Recipe], RunConfig]:
    """The function that makes the config of a recipe, for config.json."""

    def make(recipe: Recipe) -> RunConfig:
        return RunConfig(
            manifest="tiny",
            manifest_sha256="0" * 64,
            shards="manifests/tiny.json",
            shards_root=None,
            out="out",
            **asdict(recipe),
            init_sha256=None,
            device="cpu",
            ranks=1,
            workers=2,
            skip_bad=False,
        )

    return make


@pytest.fixture
def run(
    data: Dataset,
    placed: Callable[..., Place],
    config_of: Callable[[Recipe], RunConfig],
) -> Callable[..., list[Epoch]]:
    """The function that trains a network: (out, recipe, on=data, model=small(), resume=) → epochs.

    It also takes `workers` and `save_every`, as `placed` does.
    """

    def train(
        out: Path,
        recipe: Recipe,
        *,
        on: Dataset = data,
        model: nn.Module | None = None,
        resume: bool = False,
        **where: Any,
    ) -> list[Epoch]:
        arm, config, place = make_arm(recipe, on), config_of(recipe), placed(out, **where)
        return fit(on, arm, model or small(), config, place, resume=resume).history

    return train


@pytest.fixture
def weights_in() -> Callable[[Path], dict[str, torch.Tensor]]:
    """The function that loads the weights of a run's last.pt."""

    def load(out: Path) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = torch.load(out / "last.pt", weights_only=True)["model"]
        return found

    return load


@pytest.fixture
def same(weights_in: Callable[[Path], dict[str, torch.Tensor]]) -> Callable[[Path, Path], bool]:
    """Whether two runs ended with the same history, receipts and weights."""

    def compare(a: Path, b: Path) -> bool:
        first, second = weights_in(a), weights_in(b)
        names = ("history.csv", "receipts.csv", "best.safetensors")
        return all((a / name).read_bytes() == (b / name).read_bytes() for name in names) and all(
            torch.equal(first[name], second[name]) for name in second
        )

    return compare


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], object]:
    """SIGTERM arrives before wish number `wishes`, counted over train and val."""

    @contextmanager
    def after(wishes: int) -> Iterator[None]:
        left, wish = [wishes], Control.wish

        def counted(control: Control) -> Wish:
            left[0] -= 1
            control.signal = 15 if left[0] == 0 else control.signal
            return wish(control)

        with monkeypatch.context() as patch:
            patch.setattr(Control, "wish", counted)
            yield

    return after
