"""What an arm is made of, and what it is for the fit → Arm."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from builder.contract import ORIGINS, Labels, Origin, UsageError
from trainer.recipe import Augment, Recipe
from trainer.stream.batches import Dataset
from trainer.stream.order import Order, Part, Rows

Weights = npt.NDArray[np.float32]

EVEN: Mapping[Origin, float] = {"real": 1.0, "synthetic": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What the fit needs to know of an arm."""

    order: Order
    augment: Augment
    positive_weight: tuple[float, ...] | None = None  # [L], of a positive's loss
    choose_from: int = 1  # the first epoch whose weights may be chosen
    row_weights: Weights | None = None  # [N], of the loss in each row's place; None: all 1

    def weights(self, epoch: int) -> Weights | None:
        """[count]: the weight of each image's loss in that epoch; None where all are 1.

        A real image that stands in for a synthetic one has that one's weight.
        """
        if self.row_weights is None:
            return None
        found: Weights = self.row_weights[replace(self.order, stand_in=None).epoch(epoch)]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The training images of a dataset, as a recipe weighs them."""

    data: Dataset
    recipe: Recipe
    rows: Mapping[Origin, Rows]  # of the training images
    counts: Mapping[Origin, int]  # images that an epoch takes

    @property
    def total(self) -> int:
        """Images in an epoch of the gan arm."""
        return sum(self.counts.values())

    @classmethod
    def of(cls, recipe: Recipe, data: Dataset) -> "Material":
        """The training images of `data`; UsageError where the mix leaves no real one."""
        mix = parse_mix(recipe.mix)
        rows = {origin: data.rows("train", origin) for origin in ORIGINS}
        counts = {origin: round(mix[origin] * len(rows[origin])) for origin in ORIGINS}
        if not counts["real"]:
            raise UsageError("--mix leaves no real training image: give real more weight.")
        return cls(data=data, recipe=recipe, rows=rows, counts=counts)

    def count(self, origin: Origin) -> int:
        """Images of an epoch that shows one origin alone: as many as gan's, or its own once."""
        return self.total if self.recipe.steps == "equal" else self.counts[origin]

    def part(self, origin: Origin, count: int, first: int = 1, last: int | None = None) -> Part:
        """`count` images of an origin in each epoch from `first` to `last`."""
        rows = self.rows[origin]
        shards = self.data.shard[rows]
        return Part(name=origin, rows=rows, shards=shards, count=count, first=first, last=last)

    def arm(self, *parts: Part, choose_from: int = 1) -> Arm:
        """The arm that shows these parts, augmented as the recipe says."""
        key = f"{self.data.manifest.digest} {self.recipe.seed}"
        order = Order(key=key, parts=parts)
        return Arm(
            order=order,
            augment=self.recipe.augment,
            choose_from=choose_from,
            row_weights=self._row_weights(),
        )

    def _row_weights(self) -> Weights | None:
        weight = self.recipe.synthetic_weight
        if weight == 1:
            return None
        return np.where(self.data.index.origin == "synthetic", weight, 1).astype(np.float32)

    def labels(self, origin: Origin) -> Labels:
        """int8 [N, L] of an origin's training images."""
        return self.data.index.labels[self.rows[origin]]


def parse_mix(text: str) -> dict[Origin, float]:
    """The weight of each origin in text such as `real=1,synthetic=0.5`; or UsageError."""
    mix: dict[Origin, float] = dict(EVEN)
    named: set[str] = set()
    try:
        for word in text.split(","):
            name, weight = word.split("=")
            origin = next(known for known in ORIGINS if known == name.strip())
            mix[origin] = float(weight)
            if origin in named or not 0 < mix[origin] < 1000:
                raise ValueError
            named.add(origin)
    except (ValueError, StopIteration):
        raise UsageError(
            f"--mix {text} is no mix: write it like real=1,synthetic=0.5, with weights above 0."
        ) from None
    return mix
