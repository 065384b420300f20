"""docs/troubleshooting.md quotes messages as the code prints them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
MESSAGES = re.findall(r"^> (.+)$", PAGE, re.M)
GAP = "…"  # in place of a value that the message quotes


def templates(node: ast.AST) -> Iterator[str]:
    """The texts of the code, with GAP where a value is put in."""
    match node:
        case ast.JoinedStr():
            parts = [p.value if isinstance(p, ast.Constant) else GAP for p in node.values]
            yield re.sub(f"{GAP}+", GAP, "".join(map(str, parts)))
        case ast.Constant(value=str() as text):
            yield text
        case _:
            for child in ast.iter_child_nodes(node):
                yield from templates(child)


@cache
def texts() -> str:
    """All texts of the code, one after another."""
    paths = [path for room in ("builder", "trainer") for path in (ROOT / room).rglob("*.py")]
    return "\n".join(t for path in paths for t in templates(ast.parse(path.read_text())))


def test_the_page_has_twenty_messages_or_more() -> None:
    assert len(MESSAGES) >= 20
    assert len({*MESSAGES}) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_prints_the_message(message: str) -> None:
    """Without the gaps at its ends, which may stand for values or for what is left out."""
    assert message.strip(f"{GAP} ") in texts()


def test_a_message_that_the_code_does_not_print_is_found() -> None:
    assert "The image folder … is missing: check --root" not in texts()


def test_each_message_has_a_cause_and_a_cure() -> None:
    for section in re.split(r"^### ", PAGE, flags=re.M)[1:]:
        said = section.split("\n## ")[0]
        assert said.count("\n> ") == 1, said[:60]
        assert said.count("**Cause.**") == said.count("**Cure.**") == 1, said[:60]
