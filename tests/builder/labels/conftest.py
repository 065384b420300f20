"""Label tables of a few lines, made on the spot."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.labels import LabelTable


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[str], Path]:
    """Put a text into a CSV file and give its path."""

    def write(text: str) -> Path:
        path = tmp_path / "t.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def groups() -> Callable[[LabelTable], list[list[str]]]:
    """View, sex and age band of every row of a table."""

    def read(table: LabelTable) -> list[list[str]]:
        rows: list[list[str]] = table.rows[["view", "sex", "age"]].to_numpy().tolist()
        return rows

    return read
