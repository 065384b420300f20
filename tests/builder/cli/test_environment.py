"""Options from the environment: by the option's own name, and the word on the line wins."""

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from builder.cli import cli
from builder.cli.environment import Option, option


@click.command("make-up")
@option("--size", type=int, default=1, help="Size.")
@option("--name", "names", multiple=True, help="Names.")
@option("--pair", type=float, nargs=2, default=(0, 0), help="Two numbers.")
@option("--fast", is_flag=True, help="Fast.")
@option("--root", envvar="XBUILD_ROOT", help="Root.")
def command(**words: Any) -> None:
    """Print what was understood."""
    click.echo(repr(words))


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(command, list(arguments), env=variables)


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("XBUILD_MAKE_UP_SIZE", "7", "'size': 7"),
        ("XBUILD_MAKE_UP_NAME", "Lung Lesion; Mass;", "'names': ('Lung Lesion', 'Mass')"),
        ("XBUILD_MAKE_UP_PAIR", "0.1 0.2", "'pair': (0.1, 0.2)"),
        ("XBUILD_MAKE_UP_FAST", "1", "'fast': True"),
        ("XBUILD_MAKE_UP_SIZE", "", "'size': 1"),
        ("XBUILD_MAKE_UP_NAMES", "x", "'names': ()"),  # no option is called --names
        ("XBUILD_ROOT", "/a", "'root': '/a'"),
    ],
)
def test_a_variable_has_the_name_of_its_option(variable: str, text: str, expected: str) -> None:
    result = run(**{variable: text})
    assert result.exit_code == 0, result.output
    assert expected in result.output


def test_the_line_wins_over_the_variable_and_the_own_one_over_the_shared_one() -> None:
    both = {"XBUILD_ROOT": "/a", "XBUILD_MAKE_UP_ROOT": "/b"}
    assert "'root': '/b'" in run(**both).output
    assert "'root': '/c'" in run("--root", "/c", **both).output


def test_a_wrong_value_names_the_variable_that_it_came_from() -> None:
    result = run(XBUILD_MAKE_UP_SIZE="ten")
    assert result.exit_code == 2
    assert "Invalid value for XBUILD_MAKE_UP_SIZE: 'ten' is not a valid integer" in result.output
    assert "Invalid value for '--size'" in run("--size", "ten").output


def test_every_option_of_every_command_has_a_variable() -> None:
    parameters = [each for command in cli.commands.values() for each in command.params]
    options = [each for each in parameters if isinstance(each, click.Option)]
    assert len(options) > 50
    assert [each.name for each in options if not isinstance(each, Option)] == []


def test_the_rule_is_in_the_help_and_other_variables_mean_nothing() -> None:
    result = CliRunner().invoke(cli, ["--help"], env={"XBUILD_VERSION": "1.0"})
    assert result.exit_code == 0
    assert "XBUILD_SYNTH_IMAGE_SIZE" in result.output
    assert "env var: XBUILD_ROOT" in " ".join(
        CliRunner().invoke(cli, ["plan", "--help"]).output.split()
    )
