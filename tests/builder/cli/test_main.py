"""The help of xbuild and its commands, and the exit codes of its failures."""

import re
import sys

import click
import pytest
from click.testing import CliRunner

from builder import cli as package
from builder.cli import cli, main
from builder.contract import CheckError, UsageError


def help_of(*command: str) -> str:
    """The help at 80 columns."""
    result = CliRunner().invoke(cli, [*command, "--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


def test_no_summary_is_cut() -> None:
    text = help_of()
    for name, command in cli.commands.items():
        summary = (command.help or "").split("\n")[0]
        assert re.search(rf"^  {name} +{re.escape(summary)}$", text, re.M), name
    assert "..." not in text.split("Commands:")[1]


@pytest.mark.parametrize("name", cli.commands)
def test_every_options_help_stands_alone(name: str) -> None:
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option) and parameter.help:
            first = parameter.help.split()[0]
            assert first not in ("Of", "In", "Who", "Where", "Which"), parameter.name
            assert parameter.help.rstrip()[-1] in ".)]…", parameter.name


@pytest.mark.parametrize("name", cli.commands)
def test_no_range_of_many_digits_is_shown(name: str) -> None:
    assert not re.search(r"\d{7}", help_of(name))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("Not so."), 2, "Error: Not so."),
        (CheckError("Broken."), 1, "Error: Broken."),
        (OSError(28, "No space left on device", "/a"), 1, "No space left on device (/a)"),
        (MemoryError(), 1, "Error: There is not enough memory: take a smaller --batch"),
        (KeyboardInterrupt(), 130, "Interrupted: run the same command to resume."),
        (click.UsageError("Which?"), 2, "Which?"),
    ],
)
def test_a_failure_is_one_sentence_and_an_exit_code(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(package.cli, "main", fail)
    monkeypatch.setattr(sys, "argv", ["xbuild"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert message in capsys.readouterr().err
