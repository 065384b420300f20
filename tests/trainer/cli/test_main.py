import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from builder.contract import CheckError, Stopped, UsageError
from trainer.cli import main

Call = Callable[..., Result]
COMMANDS = sorted({*main.commands} - {"paper"})


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from trainer.cli import main;"
        "r = [CliRunner().invoke(main, w) for w in ([], ['--help'], ['fit', '--help'])];"
        "assert all('Usage' in x.output for x in r) and r[1].exit_code == r[2].exit_code == 0;"
        "heavy = {'torch', 'torchvision', 'torchxrayvision', 'pandas', 'sklearn', 'matplotlib'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_summary_is_cut_and_the_alias_is_hidden(call: Call) -> None:
    text = call("--help").output
    listed = re.findall(r"^  ([a-z]+) +(\S.*)$", text.partition("Commands:")[2], re.M)
    assert [name for name, _ in listed] == COMMANDS
    for _, summary in listed:
        assert summary.endswith((".", "?"))
        assert not summary.endswith(("...", "…"))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_an_option_is_a_sentence_without_endless_ranges(call: Call, name: str) -> None:
    assert "9223372036854775807" not in call(name, "--help").output
    for param in main.commands[name].params:
        if isinstance(param, click.Option):
            assert param.help
            assert re.search(r"[.\]]$", param.help), param.help


def test_paper_is_the_experiment(call: Call) -> None:
    texts = [call(name, "--help").output for name in ("experiment", "paper")]
    assert texts[0] == texts[1].replace("Usage: main paper", "Usage: main experiment")
    assert main.commands["paper"].callback is main.commands["experiment"].callback


def test_fit_is_the_default_command(
    call: Call, shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise UsageError("fit was called")

    monkeypatch.setattr("trainer.train.train", stop)
    for words in ((), ("fit",)):
        result = call(*words, "--shards", shared.path, "--out", tmp_path)
        assert (result.exit_code, result.stderr) == (2, "Error: fit was called\n")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("Not so."), 2, "Error: Not so.\n"),
        (CheckError("It is cut."), 1, "Error: It is cut.\n"),
        (Stopped("Stopped here.", 15), 143, "Stopped here.\n"),
        (Stopped("Stopped here.", 2), 130, "Stopped here.\n"),
        (KeyboardInterrupt(), 130, "Stopped. Resume it with --resume.\n"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "Error: No space left on device.\n"),
        (PermissionError(errno.EACCES, "Denied", "a"), 1, "Error: Denied (a).\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_has_its_sentence_and_exit_code(
    call: Call,
    shared: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    text: str,
) -> None:
    def end(*_: object) -> None:
        raise error

    monkeypatch.setattr("trainer.train.train", end)
    result = call("--shards", shared.path, "--out", tmp_path)
    assert (result.exit_code, result.stderr) == (code, text)
