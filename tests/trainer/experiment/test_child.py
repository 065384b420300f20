import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest

from builder.contract.paths import check_url

# By its path: `-m` would import the whole package first, which takes seconds.
COMMAND = [sys.executable, "-P", str(files("trainer.experiment") / "child.py")]

Start = Callable[[Callable[[], object]], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a child with a task; its pipes are closed in the end."""
    with ExitStack() as stack:

        def started(task: Callable[[], object]) -> "subprocess.Popen[bytes]":
            child = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            stack.enter_context(child)
            assert child.stdin is not None
            pickle.dump(task, child.stdin)
            child.stdin.flush()
            return child

        yield started


def test_a_task_is_done(tmp_path: Path, start: Start) -> None:
    child = start(partial((tmp_path / "done").write_text, "yes"))
    assert child.wait(120) == 0
    assert (tmp_path / "done").read_text() == "yes"


def test_a_refusal_is_a_sentence_and_its_exit_code(start: Start) -> None:
    child = start(partial(check_url, "../evil"))
    assert child.wait(120) == 1
    assert child.stderr is not None
    said = child.stderr.read()
    assert said.decode().startswith("The path '../evil' is refused")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("ending", ["the pipe", "SIGTERM"])
def test_it_ends_with_its_parent(ending: str, start: Start) -> None:
    child = start(partial(time.sleep, 60))
    time.sleep(1)
    if ending == "SIGTERM":
        child.terminate()
    else:
        assert child.stdin is not None
        child.stdin.close()
    assert child.wait(120) == -signal.SIGTERM
