"""Arms of the tiny dataset."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from trainer.arms import Arm, make_arm
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset

MakeArm = Callable[..., Arm]


@pytest.fixture
def arm(data: Dataset, recipe: Recipe) -> MakeArm:
    """The function that makes an arm of four epochs: (name, **changes of the recipe) → Arm."""

    def make(name: str, **changes: object) -> Arm:
        return make_arm(
            replace(recipe, **{"arm": name, "epochs": 4, "augment": "none"} | changes), data
        )

    return make
