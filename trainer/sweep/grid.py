"""A grid as points: every combination of its learning rates, batches and optimizers."""

import itertools
from dataclasses import dataclass, fields, replace
from typing import Annotated

from msgspec import Meta

from builder.contract import UsageError
from trainer.recipe import Optimizer, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The values of the recipe that a grid varies."""

    lr: Annotated[float, Meta(gt=0)]
    batch: Annotated[int, Meta(ge=2)]
    optimizer: Optimizer

    @property
    def folder(self) -> str:
        """The name of the folder of its run."""
        return f"lr{self.lr}-batch{self.batch}-{self.optimizer}"

    def __str__(self) -> str:
        """The values as a line of text."""
        return f"lr {self.lr}, batch {self.batch}, {self.optimizer}"

    def apply(self, recipe: Recipe) -> Recipe:
        """The recipe with the values of this point."""
        return replace(recipe, lr=self.lr, batch=self.batch, optimizer=self.optimizer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values of each field of Point."""

    lr: tuple[float, ...]
    batch: tuple[int, ...]
    optimizer: tuple[Optimizer, ...]

    def points(self) -> tuple[Point, ...]:
        """Every combination, the optimizer changing fastest; UsageError where a value is twice."""
        points = tuple(
            Point(lr=lr, batch=batch, optimizer=optimizer)
            for lr, batch, optimizer in itertools.product(self.lr, self.batch, self.optimizer)
        )
        if len(set(points)) < len(points):
            raise UsageError("The grid has a value twice: give each value once.")
        return points


VARIED = tuple(field.name for field in fields(Point))  # the fields of a recipe that a grid chooses

GRID = Grid(  # of the paper
    lr=(1e-2, 5e-3, 1e-3),
    batch=(16, 32, 64),
    optimizer=("momentum", "adam"),
)
