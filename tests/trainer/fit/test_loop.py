import csv
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from builder.contract import CheckError, UsageError
from trainer.arms import EVEN, Arm, make_arm
from trainer.fit.control import Control, Place, Stopped, Wish
from trainer.fit.history import Epoch, best_epoch
from trainer.fit.loop import Run, checkpoint, fit
from trainer.fit.loop import loop as module
from trainer.model import load_weights
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset

Placed = Callable[..., Place]


def small() -> nn.Module:
    """A network with everything that a checkpoint must keep, in milliseconds."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 3),
    )


def arm_of(data: Dataset, recipe: Recipe) -> Arm:
    return make_arm(
        recipe.arm, data, epochs=recipe.epochs, seed=recipe.seed, augment=recipe.augment,
        mix=EVEN, steps=recipe.steps,
    )  # fmt: skip


def run(data: Dataset, place: Place, recipe: Recipe, **options: Any) -> list[Epoch]:
    asked = {"facts": {}, "resume": False} | options
    return fit(data, arm_of(data, recipe), small(), recipe, place, **asked).history


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model"]


def same(a: Path, b: Path) -> bool:
    """Whether two runs ended with the same history, receipts and weights."""
    first, second = weights(a / "last.pt"), weights(b / "last.pt")
    names = ("history.csv", "receipts.csv", "best.safetensors")
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in names) and all(
        torch.equal(first[name], second[name]) for name in second
    )


def stop_after(looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM arrives before the look number `looks` at signals, counted over train and val."""
    left, wish = [looks], Control.wish

    def counted(control: Control) -> Wish:
        left[0] -= 1
        control.signal = 15 if left[0] == 0 else control.signal
        return wish(control)

    monkeypatch.setattr(Control, "wish", counted)


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_stopped_at_any_step_and_resumed_ends_like_the_unbroken_run(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, optimizer: str, monkeypatch: Any
):
    recipe = replace(recipe, optimizer=optimizer, epochs=2)
    unbroken = run(data, placed(tmp_path / "whole"), recipe)
    steps = 2 * (5 + 2)  # of training and of validation
    for look in range(1, steps + 1):
        out = tmp_path / f"stopped{look}"
        with monkeypatch.context() as patch:
            stop_after(look, patch)
            with pytest.raises(Stopped) as stopped:
                run(data, placed(out), recipe)
        assert stopped.value.exit_code == 128 + 15
        assert run(data, placed(out, workers=look % 3 + 1), recipe, resume=True) == unbroken
        assert same(out, tmp_path / "whole")


def test_saving_at_every_step_changes_nothing(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    assert run(data, placed(tmp_path / "a"), recipe) == run(
        data, placed(tmp_path / "b", save_every=0), recipe
    )
    assert same(tmp_path / "a", tmp_path / "b")


def test_it_saves_when_the_interval_is_over_and_not_before(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, monkeypatch: Any
):
    saves, now = [], [0.0]
    save = Run.save
    monkeypatch.setattr(Run, "save", lambda run: (saves.append(run.state.cursor), save(run)))
    monkeypatch.setattr("trainer.fit.control.time.monotonic", lambda: now[0])
    note = Run._note
    monkeypatch.setattr(Run, "_note", lambda *a: (note(*a), now.__setitem__(0, now[0] + 1)))
    run(data, placed(tmp_path, save_every=2), replace(recipe, epochs=1))
    assert [(at.epoch, at.position) for at in saves] == [(1, 52), (1, 104), (2, 0)]


@pytest.mark.parametrize("arm", ["none", "flip", "oversample", "pretrain", "classweight"])
def test_every_arm_is_resumed_exactly_in_another_epoch(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, arm: str, monkeypatch: Any
):
    recipe = replace(recipe, arm=arm, augment="none")
    unbroken = run(data, placed(tmp_path / "whole"), recipe)
    with monkeypatch.context() as patch:
        stop_after(7 + 3, patch)
        with pytest.raises(Stopped):
            run(data, placed(tmp_path / "stopped"), recipe)
    assert run(data, placed(tmp_path / "stopped"), recipe, resume=True) == unbroken
    assert same(tmp_path / "stopped", tmp_path / "whole")


def test_killed_while_writing_anything_the_run_goes_on(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, monkeypatch: Any
):
    unbroken = run(data, placed(tmp_path / "whole"), recipe)
    out, left = tmp_path / "out", [6]
    for name in ("trainer.fit.loop", "trainer.fit.checkpoint", "trainer.fit.history"):
        original = module.write_last

        def killed(path: Path, content: bytes, write: Any = original) -> None:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            write(path, content)

        monkeypatch.setattr(f"{name}.write_last", killed)
    for after in range(2, 16):
        left[0] = after
        with suppress(KeyboardInterrupt):
            run(data, placed(out), recipe, resume=True)
    left[0] = -1
    assert run(data, placed(out), recipe, resume=True) == unbroken
    assert same(out, tmp_path / "whole")


def test_the_number_of_threads_changes_nothing(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    for workers in (1, 4):
        run(data, placed(tmp_path / str(workers), workers), recipe)
    assert same(tmp_path / "1", tmp_path / "4")


def test_accumulated_pieces_take_the_step_of_the_whole_batch(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    """Without batch normalisation, whose statistics are a piece's own, the weights agree."""
    found = []
    for pieces in (1, 3):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
        asked = replace(recipe, accumulate=pieces, lr=1e-7, optimizer="momentum", epochs=1)
        place = placed(tmp_path / str(pieces))
        fit(data, arm_of(data, asked), model, asked, place, facts={}, resume=False)
        found.append(weights(tmp_path / f"{pieces}/last.pt"))
    one, three = found
    assert all(torch.allclose(one[name], three[name], rtol=1e-4, atol=1e-8) for name in one)
    torch.manual_seed(0)
    start = nn.Linear(32 * 32, 3).weight
    moved = (one["1.weight"] - start).abs().max()
    assert (one["1.weight"] - three["1.weight"]).abs().max() < 1e-3 * moved


def test_pieces_of_less_than_two_images_are_refused(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    with pytest.raises(UsageError, match=r"129 images .* batches of 25, too few for 16 pieces"):
        run(data, placed(tmp_path), replace(recipe, accumulate=16))


def test_bf16_and_compile_are_part_of_the_recipe(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    run(data, placed(tmp_path), replace(recipe, epochs=1))
    for field, value in (("precision", "bf16"), ("compile", True)):
        with pytest.raises(UsageError, match=f"with {field} "):
            run(data, placed(tmp_path), replace(recipe, **{field: value}), resume=True)


def test_pretrain_chooses_among_epochs_on_real_images_and_starts_the_optimiser_anew(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, monkeypatch: Any
):
    recipe, states = replace(recipe, arm="pretrain", epochs=4), []
    train = Run.train

    def watched(run: Run, rows: Any) -> None:
        origins = set(run.data.index.origin[rows])
        with monkeypatch.context() as patch:
            step = Run._step
            patch.setattr(
                Run,
                "_step",
                lambda run, *a: (states.append((origins, len(run.optimizer.state))), step(run, *a)),
            )
            train(run, rows)

    monkeypatch.setattr(Run, "train", watched)
    run(data, placed(tmp_path), recipe)
    assert [origins for origins, _ in states] == [{"synthetic"}] * 5 + [{"real"}] * 15
    assert states[0][1] == states[5][1] == 0
    assert min(count for _, count in states[6:]) > 0
    assert load_weights(tmp_path / "best.safetensors")[1]["epoch"] >= 2


def test_files_of_an_epoch(data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe):
    history = run(data, placed(tmp_path), recipe, facts={"asked": 1})
    assert json.loads((tmp_path / "config.json").read_text()) == {"asked": 1}
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert [r["epoch"] for r in rows] == ["1", "2", "3"]
    assert rows[0]["val_auc:Hernia"] == ""
    assert float(rows[2]["val_auc:Fracture"]) == pytest.approx(history[2].val_auc[2], abs=1e-6)
    known = [value for value in history[1].val_auc if value is not None]
    assert history[1].val_auc_mean == pytest.approx(sum(known) / 2)
    timing = list(csv.DictReader((tmp_path / "timing.csv").read_text().splitlines()))
    assert set(timing[0]) == {"epoch", "seconds", "images_per_second", "data_wait"}
    assert all(0 <= float(r["data_wait"]) <= 1 for r in timing)
    receipts = list(csv.DictReader((tmp_path / "receipts.csv").read_text().splitlines()))
    assert {(r["images"], r["rows"], r["unread"]) for r in receipts} == {("129", "129", "0")}
    assert len({r["order"] for r in receipts}) == 3
    _, facts = load_weights(tmp_path / "best.safetensors")
    assert facts["pathologies"] == list(data.manifest.pathologies)
    assert facts["manifest"] == data.manifest.digest
    assert facts["image"] == {"height": 32, "width": 32, "codec": "jpg", "quality": 95}
    assert facts["epoch"] == best_epoch(history).epoch
    assert facts["lr"] == 1e-3


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0.1), ("batch", 8), ("seed", 5), ("optimizer", "momentum"), ("arm", "none")],
)
def test_resuming_with_another_recipe_names_the_field(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, field: str, value: Any
):
    run(data, placed(tmp_path), replace(recipe, epochs=1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=f"with {field} .*now it is {value}"):
        run(data, placed(tmp_path), replace(recipe, **{field: value}), resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_more_epochs_go_further_and_fewer_are_refused(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    unbroken = run(data, placed(tmp_path / "whole"), recipe)
    run(data, placed(tmp_path / "out"), replace(recipe, epochs=1))
    assert run(data, placed(tmp_path / "out"), recipe, resume=True) == unbroken
    with pytest.raises(UsageError, match="already has 3 epochs"):
        run(data, placed(tmp_path / "out"), replace(recipe, epochs=2), resume=True)


def test_resuming_on_another_dataset_is_refused(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    run(data, placed(tmp_path), replace(recipe, epochs=1))
    other = replace(data, manifest=replace(data.manifest, name="other"))
    with pytest.raises(UsageError, match="with manifest "):
        run(other, placed(tmp_path), recipe, resume=True)


def test_a_cut_checkpoint_is_refused(data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe):
    run(data, placed(tmp_path), replace(recipe, epochs=1))
    path = tmp_path / "last.pt"
    good = path.read_bytes()
    path.write_bytes(good[:-2000])
    with pytest.raises(CheckError, match="is cut"):
        run(data, placed(tmp_path), recipe, resume=True)
    path.write_bytes(good)
    state = torch.load(path, weights_only=True)
    torch.save(state | {"cursor": "{}"}, path)
    with pytest.raises(CheckError, match="is no place in an order"):
        run(data, placed(tmp_path), recipe, resume=True)
    torch.save({name: state[name] for name in state if name != "history"}, path)
    with pytest.raises(CheckError, match="does not fit this version"):
        run(data, placed(tmp_path), recipe, resume=True)


def test_a_diverging_loss_stops_and_keeps_the_last_good_checkpoint(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
):
    run(data, placed(tmp_path), replace(recipe, epochs=1))
    before = (tmp_path / "last.pt").read_bytes()
    monkeypatch.setattr(
        module, "masked_loss", lambda logits, *_: (logits.sum() * math.nan, torch.tensor(1.0))
    )
    with pytest.raises(UsageError, match=r"not finite in epoch 2 .*smaller.*another --out"):
        run(data, placed(tmp_path, save_every=0), recipe, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_an_epoch_that_lost_a_sample_has_no_receipt(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
):
    note = Run._note

    def forgetful(run: Run, batch: Any, seconds: float) -> None:
        note(run, replace(batch, rows=batch.rows[1:]) if batch.position < 30 else batch, seconds)

    monkeypatch.setattr(Run, "_note", forgetful)
    with pytest.raises(CheckError, match=r"Epoch 1 did not show .*: row \d+ .* 0 times"):
        run(data, placed(tmp_path), recipe)


def test_unread_images_are_counted_and_listed(
    sealed: Any, tmp_path: Path, placed: Placed, recipe: Recipe
):
    from trainer.stream.batches import open_dataset
    from trainer.stream.shards import Folder

    row = int(np.flatnonzero(sealed.index.split == "train")[3])
    with (sealed.root / sealed.index.shard[row]).open("r+b") as tar:
        tar.seek(int(sealed.index.offset[row]))
        tar.write(b"not an image at all")
    sealed.reseal()
    source = Folder(sealed.root)
    with open_dataset(
        sealed.manifest, sealed.index, source=source, workers=2, skip_bad=True
    ) as data:
        run(data, placed(tmp_path), recipe)
    receipts = list(csv.DictReader((tmp_path / "receipts.csv").read_text().splitlines()))
    assert [r["unread"] for r in receipts] == ["1", "1", "1"]
    unread = list(csv.DictReader((tmp_path / "unread.csv").read_text().splitlines()))
    assert [r["key"] for r in unread] == [sealed.index.key[row]]


def test_a_checkpoint_holds_nothing_that_runs(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe
):
    run(data, placed(tmp_path), replace(recipe, epochs=1))
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert json.loads(state["cursor"]) == {
        "order": arm_of(data, recipe).order.digest, "epoch": 2, "position": 0,
    }  # fmt: skip
    assert checkpoint.load_notes(tmp_path / "last.pt")[0][0].epoch == 1


def test_the_best_weights_are_those_of_the_history_wherever_it_was_killed(
    data: Dataset, tmp_path: Path, placed: Placed, recipe: Recipe, monkeypatch: Any
):
    """Also where the epoch that is taken again would come out otherwise, as on a GPU."""
    keep = Run._keep_best

    def killed(_: Run) -> None:
        raise KeyboardInterrupt

    run(data, placed(tmp_path / "whole"), replace(recipe, epochs=1))
    monkeypatch.setattr(Run, "_keep_best", killed)
    with pytest.raises(KeyboardInterrupt):
        run(data, placed(tmp_path / "out"), replace(recipe, epochs=1))
    assert not (tmp_path / "out/best.safetensors").exists()
    monkeypatch.setattr(Run, "_keep_best", keep)
    run(data, placed(tmp_path / "out"), replace(recipe, epochs=1), resume=True)
    assert same(tmp_path / "out", tmp_path / "whole")
