import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from builder.contract import CheckError, UsageError
from trainer.arms import make_arm
from trainer.fit.checkpoint import Identity, read_notes
from trainer.fit.history import Epoch
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset

Run = Callable[..., list[Epoch]]


@pytest.mark.parametrize(
    ("field", "value", "goes_on"),
    [("arm", "gan", True), ("arm", "pretrain", False), ("schedule", "cosine", False)],
)
def test_more_epochs_continue_a_run_where_they_change_nothing_before(
    recipe: Recipe, field: str, value: str, goes_on: bool
) -> None:
    asked = replace(recipe, **{field: value})  # type: ignore[arg-type]
    one, two = (
        Identity(manifest="d", recipe=replace(asked, epochs=epochs), order="o").to_json()
        for epochs in (1, 2)
    )
    assert (one == two) is goes_on
    assert one["lr"] == recipe.lr


def test_how_a_step_is_computed_is_part_of_the_recipe(
    tmp_path: Path, recipe: Recipe, run: Run
) -> None:
    run(tmp_path, replace(recipe, epochs=1))
    for field, value in (
        ("precision", "bf16"), ("precision", "tf32"), ("compile", True), ("sync_batchnorm", True)
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"with {field} .*now it is {value}"):
            run(tmp_path, replace(recipe, **{field: value}), resume=True)


def test_a_checkpoint_of_before_shared_statistics_is_a_run_without(
    tmp_path: Path, recipe: Recipe, run: Run
) -> None:
    run(tmp_path, replace(recipe, epochs=1))
    notes = read_notes(tmp_path / "last.pt")
    assert not {"sync_batchnorm", "network", "schedule"} & {*notes.identity}
    run(tmp_path / "shared", replace(recipe, epochs=1, sync_batchnorm=True))
    with pytest.raises(UsageError, match="with sync_batchnorm True, now it is False"):
        run(tmp_path / "shared", recipe, resume=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0.1), ("batch", 8), ("seed", 5), ("optimizer", "momentum"), ("arm", "none")],
)
def test_resuming_with_another_recipe_names_the_field(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    field: str,
    value: Any,
) -> None:
    run(tmp_path, replace(recipe, epochs=1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=f"with {field} .*now it is {value}"):
        run(tmp_path, replace(recipe, **{field: value}), resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_more_epochs_go_further_and_fewer_are_refused(
    tmp_path: Path, recipe: Recipe, run: Run, same: Any
) -> None:
    unbroken = run(tmp_path / "whole", recipe)
    run(tmp_path / "out", replace(recipe, epochs=1))
    assert run(tmp_path / "out", recipe, resume=True) == unbroken
    assert same(tmp_path / "out", tmp_path / "whole")
    with pytest.raises(UsageError, match="already has 3 epochs"):
        run(tmp_path / "out", replace(recipe, epochs=2), resume=True)


def test_resuming_on_another_dataset_is_refused(
    data: Dataset, tmp_path: Path, recipe: Recipe, run: Run
) -> None:
    run(tmp_path, replace(recipe, epochs=1))
    other = replace(data, manifest=replace(data.manifest, name="other"))
    with pytest.raises(UsageError, match="with manifest "):
        run(tmp_path, recipe, on=other, resume=True)


def test_a_cut_or_changed_checkpoint_is_refused(tmp_path: Path, recipe: Recipe, run: Run) -> None:
    run(tmp_path, replace(recipe, epochs=1))
    path = tmp_path / "last.pt"
    good = path.read_bytes()
    path.write_bytes(good[:-2000])
    with pytest.raises(CheckError, match="is cut"):
        run(tmp_path, recipe, resume=True)
    path.write_bytes(good)
    state = torch.load(path, weights_only=True)
    changes: dict[str, dict[str, Any]] = {
        "place in an order .* has no field order": state | {"cursor": "{}"},
        "has no field history": {n: state[n] for n in state if n != "history"},
        "has no field identity": {"model": state["model"]},
        r"history\[0\]": state | {"history": [state["history"][0] | {"epoch": "1"}]},
        "does not fit this version": state | {"partial": {"sums": 1, "seen": 2}},
        "does not fit this version: its weights have other names": state | {"model": {}},
    }
    for words, changed in changes.items():
        torch.save(changed, path)
        with pytest.raises(CheckError, match=words):
            run(tmp_path, recipe, resume=True)


def test_a_forged_checkpoint_is_refused(tmp_path: Path, recipe: Recipe, run: Run) -> None:
    run(tmp_path, replace(recipe, epochs=1))
    path = tmp_path / "last.pt"
    state = torch.load(path, weights_only=True)
    weights, kept, part = (state[name] for name in ("model", "optimizer", "partial"))
    name, first = next(iter(weights.items()))
    moments = kept["state"][0]
    misfits = r"does not fit this version: "
    forged: list[tuple[str, dict[str, Any]]] = [
        (misfits + "its weights .* another shape", {"model": weights | {name: first[:1]}}),
        (misfits + "its weights have other names", {"model": weights | {"x": first}}),
        ("hold values that are no finite", {"model": weights | {name: first * torch.nan}}),
        ("hold values that are no finite", {"model": weights | {name: first / 0}}),
        (
            misfits + "the state of its optimizer is another one's",
            {"optimizer": {"state": [moments]}},
        ),
        (misfits + "the state of its optimizer is another one's", {"optimizer": 7}),
        (misfits + "the state of its opt", {"optimizer": kept | {"state": {10**6: moments}}}),
        (misfits + "the state of its opt", {"optimizer": kept | {"state": {0: {"step": 1}}}}),
        (misfits + "it has no unfinished epoch", {"partial": {}}),
        (misfits + "its unfinished epoch", {"partial": part | {"sums": torch.zeros(9)}}),
        (misfits + "its unfinished epoch", {"partial": part | {"seconds": "long"}}),
        ("its epochs or rows", {"partial": part | {"seen": torch.zeros(3, dtype=torch.int32)}}),
        ("its epochs or rows", {"unread": {10**9: "cut"}}),
        ("its epochs or rows", {"history": [{**state["history"][0], "val_auc": ()}]}),
        ("its epochs or rows", {"history": []}),
        ("its epochs or rows", {"cursor": state["cursor"].replace('"epoch": 2', '"epoch": 9')}),
    ]
    for words, change in forged:
        torch.save(state | change, path)
        with pytest.raises(CheckError, match=words):
            run(tmp_path, recipe, resume=True)


def test_the_recipe_decides_how_the_optimizer_steps(
    tmp_path: Path, recipe: Recipe, run: Run, same: Any
) -> None:
    run(tmp_path / "whole", recipe)
    run(tmp_path / "out", replace(recipe, epochs=1))
    path = tmp_path / "out" / "last.pt"
    state = torch.load(path, weights_only=True)
    state["optimizer"]["param_groups"][0] |= {"lr": "high", "betas": None}
    torch.save(state, path)
    run(tmp_path / "out", recipe, resume=True)
    assert same(tmp_path / "out", tmp_path / "whole")


def test_a_checkpoint_holds_nothing_that_runs(
    data: Dataset,
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
) -> None:
    run(tmp_path, replace(recipe, epochs=1))
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    order = make_arm(recipe, data).order.digest
    assert json.loads(state["cursor"]) == {"order": order, "epoch": 2, "position": 0}
    assert read_notes(tmp_path / "last.pt").history[0].epoch == 1
