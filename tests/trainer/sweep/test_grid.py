from dataclasses import replace

import pytest

from builder.contract import CheckError, UsageError
from builder.contract.record import as_record
from trainer.recipe import Recipe
from trainer.sweep.grid import GRID, VARIED, Grid, Point


def test_the_papers_grid_has_18_points_in_order() -> None:
    points = GRID.points()
    assert len({*points}) == len(points) == 18
    assert points[0] == Point(lr=0.01, batch=16, optimizer="momentum")
    assert points[1] == replace(points[0], optimizer="adam")
    assert points[-1] == Point(lr=0.001, batch=64, optimizer="adam")


def test_a_point_has_a_folder_and_a_line_of_text() -> None:
    point = Point(lr=0.01, batch=16, optimizer="momentum")
    assert point.folder == "lr0.01-batch16-momentum"
    assert str(point) == "lr 0.01, batch 16, momentum"


def test_a_point_changes_what_the_grid_varies_alone(recipe: Recipe) -> None:
    chosen = Point(lr=0.5, batch=64, optimizer="momentum").apply(recipe)
    assert chosen == replace(recipe, lr=0.5, batch=64, optimizer="momentum")
    assert VARIED == ("lr", "batch", "optimizer")


def test_values_twice_are_refused(small: Grid) -> None:
    with pytest.raises(UsageError, match="a value twice"):
        replace(small, lr=(0.1, 0.1)).points()


@pytest.mark.parametrize("change", [{"lr": 0}, {"batch": 1}, {"optimizer": "sgd"}, {"lr": "0.1"}])
def test_a_point_on_disk_is_checked(change: dict[str, object]) -> None:
    good = {"lr": 0.1, "batch": 16, "optimizer": "adam"}
    assert as_record(good, Point, "x") == Point(lr=0.1, batch=16, optimizer="adam")
    with pytest.raises(CheckError, match=f"x is refused: .* at {next(iter(change))}"):
        as_record(good | change, Point, "x")
