"""Docs are tests: every command in the README exists, and every command explains itself."""

import re
import shlex
from pathlib import Path

import click
import pytest

from builder.cli import cli as xbuild
from trainer.cli import main as xtrain

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {"xbuild": xbuild, "xtrain": xtrain}


def command_lines() -> list[str]:
    lines = []
    for path in DOCS:
        for block in re.findall(r"```(?:bash|sh|console)?\n(.*?)```", path.read_text(), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                words = line.removeprefix("$ ").split("#")[0].split()
                if words and words[0] == "torchrun":
                    words = words[words.index("xtrain") :]
                if words and words[0] in (*COMMANDS, "make"):
                    lines.append(" ".join(words))
    return sorted(set(lines))


def walk(name: str, command: click.Command) -> list[tuple[str, click.Command]]:
    found = [(name, command)]
    if isinstance(command, click.Group):
        for word, child in command.commands.items():
            found += walk(f"{name} {word}", child)
    return found


EVERY = [pair for name, command in COMMANDS.items() for pair in walk(name, command)]


def test_the_readme_shows_commands() -> None:
    assert {line.split()[0] for line in command_lines()} == {"xbuild", "xtrain", "make"}


@pytest.mark.parametrize("line", command_lines())
def test_every_command_in_the_docs_exists(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(targets)
        return
    command: click.Command = COMMANDS[words[0]]
    rest = words[1:]
    if isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    elif words[0] == "xtrain":
        command = xtrain.commands["fit"]
    options = {name for param in command.params for name in param.opts} | {"--help", "--version"}
    assert {word for word in rest if word.startswith("--")} <= options


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help, name
    for param in command.params:
        if isinstance(param, click.Option) and param.name not in ("version", "help"):
            assert param.help, param.name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_file_that_the_docs_link_to_is_there(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_readmes_tree_lists_every_module() -> None:
    text = (ROOT / "README.md").read_text()
    for folder in ("builder", "trainer"):
        for module in (ROOT / folder).glob("*.py"):
            assert module.name == "__init__.py" or module.name in text, module
