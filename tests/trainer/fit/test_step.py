from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from builder.contract import UsageError
from trainer.fit.history import Epoch
from trainer.fit.step import MAKE_OPTIMIZER, Stepper, check_pieces
from trainer.recipe import OPTIMIZERS, Recipe

Run = Callable[..., list[Epoch]]


def test_every_optimizer_of_a_recipe_can_be_made() -> None:
    assert tuple(MAKE_OPTIMIZER) == OPTIMIZERS
    weights = nn.Linear(2, 1).parameters()
    (momentum,) = MAKE_OPTIMIZER["momentum"](weights, lr=0.5).param_groups
    assert (momentum["lr"], momentum["momentum"]) == (0.5, 0.9)


def test_accumulated_pieces_take_the_step_of_the_whole_batch(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    weights_in: Callable[[Path], dict[str, torch.Tensor]],
) -> None:
    """Without batch normalisation, whose statistics are a piece's own, the weights agree."""
    found = []
    for pieces in (1, 3):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
        asked = replace(recipe, accumulate=pieces, lr=1e-7, optimizer="momentum", epochs=1)
        run(tmp_path / str(pieces), asked, model=model)
        found.append(weights_in(tmp_path / str(pieces)))
    one, three = found
    assert all(torch.allclose(one[name], three[name], rtol=1e-4, atol=1e-8) for name in one)
    torch.manual_seed(0)
    start = nn.Linear(32 * 32, 3).weight
    moved = (one["1.weight"] - start).abs().max()
    assert (one["1.weight"] - three["1.weight"]).abs().max() < 1e-3 * moved


def test_pieces_of_less_than_two_images_are_refused(
    tmp_path: Path, recipe: Recipe, run: Run
) -> None:
    with pytest.raises(UsageError, match=r"129 images .* batches of 25, too few for 16 pieces"):
        run(tmp_path, replace(recipe, accumulate=16))


def test_two_images_in_every_piece_are_enough() -> None:
    check_pieces(129, 32, 12)  # batches of 25 and 26
    with pytest.raises(UsageError, match="too few for 13 pieces"):
        check_pieces(129, 32, 13)


@pytest.mark.parametrize(("device", "fused"), [("cuda", True), ("cpu", None)])
def test_a_gpu_steps_all_weights_at_once(recipe: Recipe, device: str, fused: bool | None) -> None:
    for optimizer in OPTIMIZERS:
        fabric: Any = SimpleNamespace(
            device=torch.device(device), world_size=1, setup=lambda *both: both
        )
        asked = replace(recipe, optimizer=optimizer)
        made = Stepper.make(nn.Linear(2, 1), asked, fabric, None).optimizer
        assert made.param_groups[0]["fused"] is fused


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fused_optimizer_resumes_exactly(name: Any) -> None:
    def steps(count: int, state: dict[str, Any] | None = None) -> dict[str, Any]:
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        optimizer = MAKE_OPTIMIZER[name](model.parameters(), lr=0.1, fused=True)
        if state:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(4, 5)).square().sum().backward()
            optimizer.step()
        return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}

    whole, resumed = steps(5), steps(2, steps(3))
    torch.testing.assert_close(whole, resumed, rtol=0, atol=0)
