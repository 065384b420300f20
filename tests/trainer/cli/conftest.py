"""xtrain as a user calls it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trainer.cli import main

Call = Callable[..., Result]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="session")
def call() -> Call:
    """The function that runs xtrain with these arguments."""
    return run


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """Asserts one sentence on stderr with these words, the exit code, and no trace."""

    def check(result: Result, code: int, *words: str) -> None:
        assert result.exit_code == code, result.output
        assert isinstance(result.exception, SystemExit)
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        for word in words:
            assert word in result.stderr

    return check


@pytest.fixture(scope="session")
def few() -> tuple[str, ...]:
    """Options of the shortest run."""
    options = "--init random --epochs 1 --batch 16 --workers 1 --device cpu"
    return (*options.split(), "--network", "shufflenet_v2_x0_5")


@pytest.fixture(scope="session")
def done(shared: Any, few: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to read only."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    result = run("--shards", shared.path, "--out", out, *few)
    assert result.exit_code == 0, result.output
    return out
