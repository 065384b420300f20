"""The pages and schemas that `make docs` writes from the code are up to date."""

import json
from dataclasses import fields
from pathlib import Path
from runpy import run_path
from typing import Any

import click
import msgspec
import pytest

from builder.cli import cli as xbuild
from builder.contract import Manifest
from builder.contract.names import FIXED_COLUMNS, GROUPS
from trainer.cli import main as xtrain

ROOT = Path(__file__).parents[1]
REFERENCE = run_path(str(ROOT / "docs/make/reference.py"))
SCHEMA = run_path(str(ROOT / "docs/make/schema.py"))
MANIFESTS = sorted((ROOT / "manifests").glob("*.json"))
COMMANDS: dict[str, click.Group] = {"xbuild": xbuild, "xtrain": xtrain}


def schema_of(name: str) -> Any:
    return json.loads((ROOT / f"docs/schema/{name}.json").read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_is_up_to_date(name: str) -> None:
    """Where this fails: make docs, and commit what it wrote."""
    assert (ROOT / f"docs/{name}.md").read_text() == REFERENCE["page"](name)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_has_every_option_of_every_command(name: str) -> None:
    page = (ROOT / f"docs/{name}.md").read_text()
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    shown = {word: each for word, each in COMMANDS[name].commands.items() if not each.hidden}
    assert {*sections} == {f"{name} {word}" for word in shown}
    for word, command in shown.items():
        for param in command.params:
            for written in (*param.opts, *param.secondary_opts):
                said = f"`{written}`" if written.startswith("-") else (param.metavar or "").upper()
                assert said in sections[f"{name} {word}"], f"{word}: {written}"


def test_words_are_no_markup_in_a_cell() -> None:
    assert REFERENCE["cell"]("a | b_c <d> [e]\n f*") == r"a \| b\_c &lt;d> \[e\] f\*"


def test_brackets_of_a_value_are_kept_and_those_around_a_choice_are_not() -> None:
    context = click.Context(click.Command("any"))
    check = click.Option(["--check"], metavar="NAME[:ARGUMENT]")
    assert REFERENCE["values_of"](check, context) == "NAME[:ARGUMENT]"
    arm = click.Option(["--arm"], type=click.Choice(["none", "gan"]))
    assert REFERENCE["values_of"](arm, context) == "none · gan"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_paragraph_of_the_reference_stands_twice(name: str) -> None:
    head = REFERENCE["page"](name).split("\n## ")[0]
    said = [line for line in head.split("\n") if line.endswith(".") and line[0] != "-"]
    assert [line for line in said if head.count(line) > 1] == []


@pytest.mark.parametrize("name", SCHEMA["RECORDS"])
def test_a_schema_is_up_to_date(name: str) -> None:
    """Where this fails: make docs, and commit what it wrote."""
    path = ROOT / f"docs/schema/{name}.json"
    assert path.read_text() == SCHEMA["schema_text"](name)


def test_no_other_schema_is_there() -> None:
    assert {path.stem for path in (ROOT / "docs/schema").iterdir()} == {*SCHEMA["RECORDS"]}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_lock_file_is_valid(path: Path) -> None:
    assert msgspec.json.decode(path.read_bytes(), type=Manifest).name == path.stem
    validator = pytest.importorskip("jsonschema").Draft202012Validator(schema_of("manifest"))
    validator.check_schema(schema_of("manifest"))
    raw = json.loads(path.read_text())
    assert [error.message for error in validator.iter_errors(raw)] == []
    for wrong in ({**raw, "more": 1}, {**raw, "schema": 3}, {**raw, "name": None}):
        assert [*validator.iter_errors(wrong)]
    del raw["index"]["sha256"]
    assert [*validator.iter_errors(raw)]


def test_the_format_page_names_every_field_of_the_manifest_and_column_of_the_index() -> None:
    page = (ROOT / "docs/format.md").read_text()
    names = [field.name for field in fields(Manifest)]
    for name in (*names, *FIXED_COLUMNS, *GROUPS, "sketch"):
        assert f"`{name}`" in page, name
