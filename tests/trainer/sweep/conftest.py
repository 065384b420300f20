"""Sweeps of a training that takes no time, in this process and in forked ones."""

import hashlib
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from builder.contract import write_last
from trainer.recipe import Recipe
from trainer.sweep import Fitted, Grid, Trial
from trainer.sweep.search import search

EPOCHS = 3
SMALL = Grid(lr=(0.1, 0.01), batch=(2, 4), optimizer=("momentum", "adam"))
FORK = multiprocessing.get_context("fork")


def fit(recipe: Recipe, folder: Path, *, nap: float = 0.0) -> Fitted:
    """Three epochs that a killed run resumes; each leaves a line in the log of all."""
    count = folder / "epochs"
    for epoch in range(int(count.read_text()) if count.is_file() else 0, EPOCHS):
        time.sleep(nap)
        with (folder.parent / "log").open("a") as log:
            log.write(f"{folder.name} {epoch} {os.getpid()}\n")
        write_last(count, str(epoch + 1).encode())
    words = repr((recipe.lr, recipe.batch, recipe.optimizer)).encode()
    dice = hashlib.sha256(words).digest()
    return Fitted(val_auc=0.5 + dice[0] / 600, best_epoch=1 + dice[1] % EPOCHS, seconds=1.5)


@pytest.fixture
def toy() -> Callable[..., Fitted]:
    """The training: (recipe, folder, nap=) → Fitted; it sleeps `nap` seconds per epoch."""
    return fit


@pytest.fixture
def small() -> Grid:
    """A grid of eight points."""
    return SMALL


@pytest.fixture
def lone() -> Grid:
    """A grid of one point."""
    return Grid(lr=(0.1,), batch=(2,), optimizer=("adam",))


@pytest.fixture
def run(recipe: Recipe) -> Callable[..., tuple[Trial, ...]]:
    """The function that searches the small grid: (out, fit=toy, changes of the arguments)."""

    def search_small(
        out: Path, train: Callable[..., Fitted] = fit, **changes: object
    ) -> tuple[Trial, ...]:
        usual: dict[str, object] = {
            "grid": SMALL,
            "storage": None,
            "digest": "aa",
            "recipe": replace(recipe, epochs=EPOCHS, seed=1),
            "pause": lambda _: time.sleep(0.02),
        }
        return search(train, out=out, **(usual | changes))  # type: ignore[arg-type]

    return search_small


@pytest.fixture
def trained() -> Callable[[Path], Counter[str]]:
    """The function that counts how often each epoch of each point was trained."""

    def count(out: Path) -> Counter[str]:
        return Counter(line.rpartition(" ")[0] for line in (out / "log").read_text().splitlines())

    return count


@pytest.fixture
def study() -> Callable[[Path], optuna.Study]:
    """The function that opens the study in a folder's journal."""

    def load(out: Path) -> optuna.Study:
        storage = JournalStorage(JournalFileBackend(str(out / "sweep.journal")))
        sampler = optuna.samplers.GridSampler(asdict(SMALL), seed=1)
        return optuna.load_study(study_name="sweep", storage=storage, sampler=sampler)

    return load


@pytest.fixture
def in_process() -> Callable[[Callable[[], object]], BaseProcess]:
    """The function that calls another one in a forked process."""

    def start(target: Callable[[], object]) -> BaseProcess:
        process = FORK.Process(target=target)
        process.start()
        return process

    return start
