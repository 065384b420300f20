"""The stream for training loops of other people, and what it must show."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import distributed

from trainer.arms import make_arm
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset
from trainer.stream.loader import StreamDataset


@pytest.fixture
def make(shared: Any) -> Callable[..., StreamDataset]:
    """The function that opens the read-only dataset: (split, field=value …)."""
    return lambda *split, **options: StreamDataset(shared.path, *split, **options)


@pytest.fixture
def epochs(data: Dataset, recipe: Recipe) -> list[list[str]]:
    """The keys of xtrain's first three epochs."""
    order = make_arm(replace(recipe, augment="none"), data).order
    return [data.index.key[order.epoch(number)].tolist() for number in (1, 2, 3)]


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """The function that makes this process one of several ranks of torch.distributed."""

    def be(rank: int, size: int) -> None:
        monkeypatch.setattr(distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(distributed, "get_world_size", lambda: size)

    return be


@pytest.fixture(scope="session")
def keys_of() -> Callable[[Any], list[str]]:
    """The function that lists the keys of batches or samples, in order."""

    def keys(items: Any) -> list[str]:
        found: list[str] = []
        for item in items:
            found += [item["key"]] if isinstance(item["key"], str) else item["key"]
        return found

    return keys
