from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from builder.contract import UsageError
from trainer.fit.history import Epoch
from trainer.fit.step import MAKE_OPTIMIZER, ImageWeights, Stepper, check_pieces
from trainer.recipe import OPTIMIZERS, Recipe
from trainer.stream.batches import Batch

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


@pytest.mark.parametrize(("device", "fused"), [("cuda", True), ("cpu", True), ("mps", None)])
def test_one_kernel_steps_a_weight_where_there_is_one(
    recipe: Recipe, device: str, fused: bool | None
) -> None:
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


@pytest.fixture
def drawn() -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Images uint8 [12, 1, 4, 4], labels int8 [12, 3] of which some are unknown, weights [12]."""
    rng = np.random.default_rng(2)
    images = torch.from_numpy(rng.integers(0, 256, (12, 1, 4, 4), dtype=np.uint8))
    labels = rng.integers(-1, 2, (12, 3)).astype(np.int8)
    return images, labels, np.where(rng.random(12) < 0.5, 0.25, 1).astype(np.float32)


@pytest.mark.parametrize(("ranks", "pieces"), [(1, 1), (1, 3), (2, 1), (2, 2)])
def test_a_weighted_step_follows_the_weighted_mean_of_the_whole_batch(
    recipe: Recipe,
    drawn: tuple[torch.Tensor, np.ndarray, np.ndarray],
    ranks: int,
    pieces: int,
) -> None:
    """Of images 6 to 11, also where several ranks share them and each cuts its share."""
    images, labels, weights = drawn
    gradients, sums = [], torch.zeros(2)
    for rank in range(ranks):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        fabric: Any = SimpleNamespace(
            device=torch.device("cpu"),
            world_size=ranks,
            setup=lambda *both: both,
            no_backward_sync=lambda *_, **__: nullcontext(),
            backward=lambda loss: loss.backward(),
        )
        stepper = Stepper.make(model, replace(recipe, accumulate=pieces), fabric, None)
        places = torch.arange(6 + rank, 12, ranks)
        batch = Batch(
            images=images[places], labels=torch.from_numpy(labels[places]).float(), rows=places,
            places=places, known=int((labels[6:] >= 0).sum()), position=12, waited=0.0, bad=(),
        )  # fmt: skip
        stepper.step(batch, lambda x, _: x, sums, ImageWeights.of(weights, labels, batch, 6))
        gradients.append(model[1].weight.grad)
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    y, known = torch.from_numpy(labels[6:]).float(), torch.from_numpy(labels[6:] >= 0).float()
    each = binary_cross_entropy_with_logits(
        whole((images[6:].float() / 255 * 2 - 1) * 1024), y.clamp(min=0), reduction="none"
    )
    counted = known * torch.from_numpy(weights[6:])[:, None]
    loss = (each * counted).sum() / counted.sum()
    loss.backward()
    found = sum(gradients) / ranks  # as DDP averages
    torch.testing.assert_close(found, whole[1].weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sums[0] / sums[1], loss.detach(), rtol=1e-4, atol=1e-5)


def test_weights_decide_a_run_and_1_is_the_run_of_before(
    tmp_path: Path, recipe: Recipe, run: Run, weights_in: Callable[[Path], dict[str, torch.Tensor]]
) -> None:
    asked = replace(recipe, epochs=1)
    run(tmp_path / "one", asked)
    run(tmp_path / "half", replace(asked, synthetic_weight=0.5))
    one, half = (torch.load(tmp_path / n / "last.pt", weights_only=True) for n in ("one", "half"))
    assert "synthetic_weight" not in one["identity"]
    assert half["identity"]["synthetic_weight"] == 0.5
    first, second = weights_in(tmp_path / "one"), weights_in(tmp_path / "half")
    assert any(not torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(UsageError, match=r"begun with synthetic_weight 0\.5, now it is 1\.0"):
        run(tmp_path / "half", asked, resume=True)
