"""Simulations of benchmarks/ say how many test sets and suspects stand behind their rates."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from builder.contract.audit import Audit

ROOT = Path(__file__).parents[1]


@pytest.fixture
def coverage(benchmark_script: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_script("coverage")


def case_of(coverage: ModuleType, seeds: tuple[int, int] = (1, 1)) -> Any:
    sds = (0.0, 0.0)
    return coverage.Case(
        positives=15, per_patient=3, seeds=seeds, seed_sd=sds, control=0.75, effect=0.0, resamples=9
    )


def test_a_row_counts_the_test_sets_that_its_rates_are_of(coverage: ModuleType) -> None:
    figures = (1.0, 1.0, 0.0, 0.0, 0.1, 0.5)
    found = [None, *[figures] * 75, None, *[(0.0, *figures[1:])] * 25]
    cells = coverage.row(case_of(coverage), found)
    settings = ["15", "3", "1:1", "0.0:0.0", "0.0"]
    assert cells == [
        *settings, "100", "75.0%", "100.0%", "4.3%", "0.0%", "0.0%", "0.100", "50%"
    ]  # fmt: skip


def test_a_row_without_a_test_set_has_no_rate(coverage: ModuleType) -> None:
    assert coverage.row(case_of(coverage), [None] * 9)[-1] == "0"


@pytest.mark.parametrize("seeds", [(1, 1), (2, 2), (5, 5), (2, 5)])
def test_the_page_says_how_many_test_sets_of_few_positives_are_left_out(
    coverage: ModuleType, seeds: tuple[int, int]
) -> None:
    page = " ".join((ROOT / "docs/verdict.md").read_text().split())
    assert "In the rows of 15 positives, 16 to 18 % of the test sets have fewer than ten" in page
    case = case_of(coverage, seeds)
    few = [coverage.simulated(case, number)[0].sum() < coverage.FEW for number in range(2000)]
    assert round(100 * np.mean(few)) in (16, 17, 18)


def test_suspects_that_are_not_listed_are_not_counted_as_missed(
    benchmark_script: Callable[[str], ModuleType], audit: Audit
) -> None:
    copies = benchmark_script("copies")
    found = audit.copies
    assert copies.suspected(found) == {"gan100-mass-0000001", "gan100-mass-0000002"}
    with pytest.raises(SystemExit) as ended:
        copies.suspected(replace(found, suspects=3))
    assert str(ended.value.code).startswith("3 images are suspected and only 2 are listed")
