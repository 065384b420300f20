"""What the front page and the summaries claim says what was left out of it, too."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cli import cli as xbuild

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["README.md", "docs/results.md"])
def test_series_of_two_seeds_stand_beside_those_of_five(name: str) -> None:
    text = " ".join((ROOT / name).read_text().split())
    claim = "2 of 3" if name == "README.md" else "two of three"
    assert (
        f"on {claim} targets in each of five series of five seeds; with two seeds on one target,"
        " or on none"
    ) in text


def test_the_quick_tests_are_neither_slow_nor_long() -> None:
    """A test that is marked long need not be marked slow, too."""
    (recipe,) = re.findall(r"^quick:.*\n\t(.+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe.endswith(" -m 'not slow and not long'")


@pytest.mark.slow
def test_the_page_on_builds_quotes_what_a_plan_prints() -> None:
    page = (ROOT / "docs/build.md").read_text()
    (command,) = re.findall(r"^xbuild (plan --dataset chexpert --regime 10)$", page, re.M)
    quoted = page.split(command)[1].split("\n```\n")[2].splitlines()
    printed = CliRunner().invoke(xbuild, command.split()).output.splitlines()
    assert quoted[-1].endswith("(proven).")
    assert [line for line in quoted if line != "…" and line not in printed] == []
