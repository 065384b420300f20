"""The recipe of xtrain that the benchmarks use."""

from dataclasses import replace
from typing import Any

from trainer.recipe import Recipe

BASE = Recipe(
    arm="none",
    epochs=1,
    batch=64,
    lr=1e-3,
    optimizer="adam",
    augment="none",
    mix="real=1,synthetic=1",
    steps="own",
    init="random",
    seed=0,
    precision="fp32",
    accumulate=1,
    compile=False,
)


def recipe(**changes: Any) -> Recipe:
    """Real images once an epoch in batches of 64, unless `changes` say otherwise."""
    return replace(BASE, **changes)
