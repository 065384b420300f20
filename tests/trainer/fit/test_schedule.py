from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract import Stopped
from trainer.arms import Arm
from trainer.fit.history import Epoch
from trainer.fit.schedule import learning_rate
from trainer.fit.step import Stepper
from trainer.recipe import Recipe

Run = Callable[..., list[Epoch]]


class Part:
    """An arm of which the schedule sees where real images begin."""

    def __init__(self, choose_from: int) -> None:
        self.choose_from = choose_from


def rates(recipe: Recipe, choose_from: int = 1) -> list[float]:
    """The rates at the beginning and in the middle of each epoch, in thousandths of --lr."""
    arm: Arm = Part(choose_from)  # type: ignore[assignment]
    return [
        round(1000 * learning_rate(recipe, arm, epoch=epoch, shown=shown) / recipe.lr)
        for epoch in range(1, recipe.epochs + 1)
        for shown in (0.0, 0.5)
    ]


def test_a_constant_rate_is_the_same_in_every_step(recipe: Recipe) -> None:
    assert rates(replace(recipe, epochs=2)) == [1000] * 4


def test_a_cosine_falls_from_the_rate_towards_0(recipe: Recipe) -> None:
    asked = replace(recipe, epochs=2, schedule="cosine", lr=0.01)
    assert rates(asked) == [1000, 854, 500, 146]
    assert learning_rate(asked, Part(1), epoch=2, shown=1 - 1e-6) < 1e-12  # type: ignore[arg-type]


def test_it_falls_twice_where_synthetic_images_come_first(recipe: Recipe) -> None:
    asked = replace(recipe, epochs=3, schedule="cosine")
    assert rates(asked, choose_from=2) == [1000, 500, 1000, 854, 500, 146]


@pytest.mark.parametrize("arm", ["gan", "pretrain"])
def test_a_run_with_a_falling_rate_is_resumed_exactly(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    same: Callable[[Path, Path], bool],
    stopping: Callable[[int], Any],
    arm: Any,
) -> None:
    recipe = replace(recipe, arm=arm, schedule="cosine")
    unbroken = run(tmp_path / "whole", recipe)
    with stopping(7 + 3), pytest.raises(Stopped):
        run(tmp_path / "stopped", recipe)
    assert run(tmp_path / "stopped", recipe, resume=True) == unbroken
    assert same(tmp_path / "stopped", tmp_path / "whole")
    assert unbroken != run(tmp_path / "constant", replace(recipe, schedule="constant"))


def test_the_optimizer_takes_each_step_with_the_rate_of_its_place(
    tmp_path: Path, recipe: Recipe, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = list[float]()
    step = Stepper.step

    def noted(stepper: Stepper, *arguments: Any) -> None:
        used.append(stepper.optimizer.param_groups[0]["lr"])
        step(stepper, *arguments)

    monkeypatch.setattr(Stepper, "step", noted)
    run(tmp_path, replace(recipe, schedule="cosine"))
    assert used[0] == recipe.lr
    assert used == sorted(used, reverse=True)
    assert len({*used}) == len(used)
    assert 0 < used[-1] < 0.05 * recipe.lr
