"""Docs are tests: what the pages name exists, and every command explains itself in plain words."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import click
import pytest

from builder.cli import cli as xbuild
from trainer.cli import main as xtrain

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", ROOT / "manifests/README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCS, *(ROOT / f"builder/generators/nih{side}.card.md" for side in (64, 128))]
COMMANDS = {"xbuild": xbuild, "xtrain": xtrain}

# Options of torchrun, Slurm, Ray and Chromium.
FOREIGN = {
    "--nproc-per-node", "--no-python", "--standalone", "--signal", "--array", "--job-name",
    "--gpus", "--gpus-per-node", "--nodes", "--cpus-per-task", "--mem", "--time", "--requeue",
    "--parsable", "--dependency", "--min-nodes",
    "--headless", "--hide-scrollbars", "--window-size", "--screenshot",
}  # fmt: skip

WIDTH = 130  # characters in a line of prose
MADE = {f"docs/{name}.md" for name in ("xbuild", "xtrain", "gpu", "benchmarks")}  # by commands

# Words that readers did not understand; "not available", "resumed", "complete or absent" are plain.
ODD = (
    "to be had", "gone on with", "goes on", "go on with", "to be looked at", "is looked at",
    "made anew", "begun anew", "whole or not at all", "by so many", "of a stranger", "which is of",
    "are to be given", "in the box", "at hand",
)  # fmt: skip


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```(?:{language})\n(.*?)```", path.read_text(), re.S)


def command_lines() -> list[str]:
    lines = []
    for path in DOCS:
        for block in blocks(path, "bash|sh|console|"):
            for line in block.replace("\\\n", " ").splitlines():
                words = line.removeprefix("$ ").split("#")[0].split()
                if words and words[0] == "torchrun":
                    words = words[words.index("xtrain") :]
                if words and words[0] in (*COMMANDS, "make"):
                    lines.append(" ".join(words))
    return sorted(set(lines))


def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for word, child in command.commands.items():
            yield from walk(f"{name} {word}", child)


EVERY = [pair for name, command in COMMANDS.items() for pair in walk(name, command)]


def help_of(name: str, command: click.Command) -> str:
    """What `--help` prints on a terminal of 80 columns."""
    with click.Context(command, info_name=name, terminal_width=80) as context:
        return command.get_help(context)


@pytest.fixture(params=EVERY, ids=[name for name, _ in EVERY])
def help_text(request: pytest.FixtureRequest) -> str:
    return help_of(*request.param)


def missing_imports(source: str) -> list[str]:
    """What `source` imports from builder and trainer although they do not have it."""
    missing = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and re.match(r"(builder|trainer)\b", node.module or ""):
            module = importlib.import_module(str(node.module))
            missing += [alias.name for alias in node.names if not has(module, alias.name)]
    return missing


def has(module: ModuleType, name: str) -> bool:
    """Whether the module has that name or, if it is a package, that submodule."""
    is_package = hasattr(module, "__path__")
    return hasattr(module, name) or (is_package and bool(find_spec(f"{module.__name__}.{name}")))


def odd_words(text: str) -> list[str]:
    flat = " ".join(text.lower().split())
    return [words for words in ODD if re.search(rf"\b{words}\b", flat)]


def wide_lines(text: str) -> list[str]:
    """The lines of prose that are wider than WIDTH; tables, messages and code are none."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
    lines = [line for line in prose.splitlines() if not line.startswith(("|", ">"))]
    return [line for line in lines if len(line) > WIDTH]


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


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_option_that_a_page_names_exists(path: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text()))
    ours = {name for _, command in EVERY for param in command.params for name in param.opts}
    ours |= {
        name for _, command in EVERY for param in command.params for name in param.secondary_opts
    }
    theirs = "".join(script.read_text() for script in (ROOT / "benchmarks").glob("*.py"))
    assert named - ours - {*re.findall(r"--[a-z-]+", theirs)} - FOREIGN == set()


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_script_that_a_page_names_exists(path: Path) -> None:
    for script in re.findall(r"python ((?:benchmarks|tests)/\S+?\.py)", path.read_text()):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("path", DOCS, ids=page_id)
def test_every_import_in_a_page_works(path: Path) -> None:
    assert [name for block in blocks(path, "python") for name in missing_imports(block)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=page_id)
def test_every_import_of_a_benchmark_works(path: Path) -> None:
    assert missing_imports(path.read_text()) == []


@pytest.mark.parametrize("path", DOCS, ids=page_id)
def test_every_file_that_a_page_links_to_exists(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help, name
    for param in command.params:
        if isinstance(param, click.Option) and param.name not in ("version", "help"):
            assert param.help, param.name


@pytest.mark.parametrize("name", COMMANDS)
def test_no_summary_of_a_command_is_cut(name: str) -> None:
    group = COMMANDS[name]
    summaries = help_of(name, group).partition("\nCommands:\n")[2].partition("\n\n")[0].splitlines()
    shown = sum(not command.hidden for command in group.commands.values())
    assert len(summaries) == shown
    cut = [line for line in summaries if not line.endswith((".", "?")) or line.endswith("..")]
    assert cut == []


def test_no_help_shows_the_range_of_an_int64(help_text: str) -> None:
    assert re.findall(r"\d{16,}", "".join(help_text.split())) == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_pages_are_written_in_plain_words(path: Path) -> None:
    assert odd_words(path.read_text()) == []


@pytest.mark.parametrize(
    "name", sorted({*map(page_id, DOCS), "CHANGELOG.md", "CONTRIBUTING.md"} - MADE)
)
def test_lines_of_prose_are_wrapped(name: str) -> None:
    assert wide_lines((ROOT / name).read_text()) == []


def test_a_wide_line_is_found_in_prose_alone() -> None:
    wide = "a" * (WIDTH + 1)
    page = f"```\n{wide}\n```\n| {wide} |\n> {wide}\n{wide}\n- {wide}\n{wide[1:]}"
    assert wide_lines(page) == [wide, f"- {wide}"]


def test_help_is_written_in_plain_words(help_text: str) -> None:
    assert odd_words(help_text) == []


@pytest.mark.parametrize("package", ["builder", "trainer"])
def test_the_tree_lists_every_module_and_folder(package: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    (section,) = re.findall(rf"^{package}/ .*\n((?:    .*\n)+)", text, re.M)
    listed = re.findall(r"^    ([a-z_]+(?:/|\.py)) ", section, re.M)
    modules = [path.name for path in (ROOT / package).glob("*.py")]
    folders = [f"{path.parent.name}/" for path in (ROOT / package).glob("*/__init__.py")]
    assert sorted(listed) == sorted({*modules, *folders} - {"__init__.py"})
    assert len(listed) == len(section.splitlines())
