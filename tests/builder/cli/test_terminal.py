"""Nothing that the commands print acts on a terminal, whoever wrote it."""

import ast
import re
from pathlib import Path

import click
import pytest

from builder.cli import terminal


def test_lines_stay_lines_and_a_sentence_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = "a\x1b]0;title\x07\n\u202eError: b\r\udcff"
    terminal.echo(words)
    terminal.echo(words, err=True)
    out, err = capsys.readouterr()
    assert out == "a�]0;title�\n�Error: b��\n"
    assert err == "a�]0;title���Error: b��\n"


def test_no_other_module_of_the_command_line_prints() -> None:
    for path in Path(terminal.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and path.name != "terminal.py":
                assert ast.unparse(node.func) not in ("print", "click.echo", "click.secho"), path


def test_what_click_says_of_a_files_name_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show(click.BadParameter("File 'a\x1b[2J.png' does not exist."))
    said = capsys.readouterr().err  # click takes some sequences away, depending on the terminal
    shown = r"Error: Invalid value: File 'a(\ufffd\[2J)?\.png' does not exist\.\n"
    assert re.fullmatch(shown, said)
