"""How the learning rate changes while a network is trained."""

import math

from trainer.arms import Arm
from trainer.recipe import Recipe


def learning_rate(recipe: Recipe, arm: Arm, *, epoch: int, shown: float) -> float:
    """The learning rate of a step in `epoch`, of which the share `shown` in [0, 1) is behind.

    `cosine` falls from the recipe's rate to 0 along half a cosine (Loshchilov and Hutter 2017,
    without restarts). Synthetic images that come first are a training of their own, so it falls
    twice then.
    """
    if recipe.schedule == "constant":
        return recipe.lr
    first, last = 1, arm.choose_from - 1
    if epoch > last:
        first, last = arm.choose_from, recipe.epochs
    done = (epoch - first + shown) / (last - first + 1)
    return recipe.lr * (1 + math.cos(math.pi * done)) / 2
