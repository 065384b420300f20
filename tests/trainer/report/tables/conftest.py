"""Cells of a table, and parts of a report's JSON that a test changes."""

from collections.abc import Callable
from typing import Any

import pytest

from trainer.report.tables import Table

Facts = dict[str, Any]


@pytest.fixture
def facts(facts_of_report: Facts) -> Facts:
    """JSON of the report, to be changed by a test."""
    return facts_of_report


@pytest.fixture
def arm_of(facts: Facts) -> Callable[[str], Facts]:
    """The function that finds an arm of the first dataset by its title."""
    return lambda title: next(a for a in facts["datasets"][0]["arms"] if a["title"] == title)


@pytest.fixture
def pair_of(facts: Facts) -> Callable[[str, str, str], Facts]:
    """The function that finds a comparison of the first dataset: (arm, control, pathology)."""

    def find(*wanted: str) -> Facts:
        rows: list[Facts] = facts["datasets"][0]["comparisons"]
        return next(r for r in rows if (r["arm"], r["control"], r["pathology"]) == wanted)

    return find


@pytest.fixture(scope="session")
def cell() -> Callable[..., str]:
    """The function that finds a cell: (table, column, *first cells of its row) → the text."""

    def find(table: Table, column: str, *start: str) -> str:
        (row,) = (row for row in table.rows if row[: len(start)] == start)
        return row[table.columns.index(column)]

    return find
