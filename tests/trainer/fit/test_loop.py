import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from builder.contract import CheckError, Stopped, UsageError
from builder.contract.weights import read_header
from trainer.fit import step as module
from trainer.fit.history import Epoch
from trainer.fit.loop import TrainingRun
from trainer.fit.step import Stepper
from trainer.recipe import Recipe
from trainer.stream.batches import Batch
from trainer.stream.order import Cursor, Rows

Run = Callable[..., list[Epoch]]
Same = Callable[[Path, Path], bool]
Stopping = Callable[[int], AbstractContextManager[None]]


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_stopped_at_any_step_and_resumed_ends_like_the_unbroken_run(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    same: Same,
    stopping: Stopping,
    optimizer: Any,
) -> None:
    recipe = replace(recipe, optimizer=optimizer, epochs=2)
    unbroken = run(tmp_path / "whole", recipe)
    steps = 2 * (5 + 2)  # of training and of validation
    for step in range(1, steps + 1):
        out = tmp_path / f"stopped{step}"
        with stopping(step), pytest.raises(Stopped) as stopped:
            run(out, recipe)
        assert stopped.value.exit_code == 128 + 15
        assert run(out, recipe, workers=step % 3 + 1, resume=True) == unbroken
        assert same(out, tmp_path / "whole")


def test_saving_at_every_step_changes_nothing(
    tmp_path: Path, recipe: Recipe, run: Run, same: Same
) -> None:
    assert run(tmp_path / "a", recipe) == run(tmp_path / "b", recipe, save_every=0)
    assert same(tmp_path / "a", tmp_path / "b")


def test_it_saves_when_the_interval_is_over_and_not_before(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saves, now = list[Cursor](), [0.0]
    save, note = TrainingRun.save, TrainingRun._note

    def saved(run: TrainingRun) -> None:
        saves.append(run.state.cursor)
        save(run)

    def noted(run: TrainingRun, batch: Batch, seconds: float) -> None:
        note(run, batch, seconds)
        now[0] += 1

    monkeypatch.setattr(TrainingRun, "save", saved)
    monkeypatch.setattr(TrainingRun, "_note", noted)
    monkeypatch.setattr("trainer.fit.control.time.monotonic", lambda: now[0])
    run(tmp_path, replace(recipe, epochs=1), save_every=2)
    assert [(at.epoch, at.position) for at in saves] == [(1, 52), (1, 104), (2, 0)]


@pytest.mark.parametrize(
    "arm", ["none", "flip", "oversample", "pretrain", "classweight", "radiograph"]
)
def test_every_arm_is_resumed_exactly_in_another_epoch(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    same: Same,
    stopping: Stopping,
    arm: Any,
) -> None:
    recipe = replace(recipe, arm=arm, augment="none")
    unbroken = run(tmp_path / "whole", recipe)
    with stopping(7 + 3), pytest.raises(Stopped):
        run(tmp_path / "stopped", recipe)
    assert run(tmp_path / "stopped", recipe, resume=True) == unbroken
    assert same(tmp_path / "stopped", tmp_path / "whole")


def test_the_number_of_threads_changes_nothing(
    tmp_path: Path, recipe: Recipe, run: Run, same: Same
) -> None:
    for workers in (1, 4):
        run(tmp_path / str(workers), recipe, workers=workers)
    assert same(tmp_path / "1", tmp_path / "4")


def test_pretrain_chooses_among_epochs_on_real_images_and_starts_the_optimizer_anew(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = replace(recipe, arm="pretrain", epochs=4)
    shown, states = [set[str]()], list[tuple[set[str], int]]()
    train, step = TrainingRun.train, Stepper.step

    def watched(run: TrainingRun, rows: Rows) -> None:
        shown[0] = set(run.data.index.origin[rows])
        train(run, rows)

    def stepped(stepper: Stepper, *batch: Any) -> None:
        states.append((shown[0], len(stepper.optimizer.state)))
        step(stepper, *batch)

    monkeypatch.setattr(TrainingRun, "train", watched)
    monkeypatch.setattr(Stepper, "step", stepped)
    run(tmp_path, recipe)
    assert [origins for origins, _ in states] == [{"synthetic"}] * 5 + [{"real"}] * 15
    assert states[0][1] == states[5][1] == 0
    assert min(count for _, count in states[6:]) > 0
    assert read_header(tmp_path / "best.safetensors").epoch >= 2


def test_a_diverging_loss_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverged(logits: torch.Tensor, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
        return logits.sum() * math.nan, torch.tensor(1.0)

    run(tmp_path, replace(recipe, epochs=1))
    before = (tmp_path / "last.pt").read_bytes()
    monkeypatch.setattr(module, "masked_loss", diverged)
    with pytest.raises(UsageError, match=r"not finite in epoch 2 .*smaller.*another --out"):
        run(tmp_path, recipe, save_every=0, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_an_epoch_that_lost_a_sample_has_no_receipt(
    tmp_path: Path,
    recipe: Recipe,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note = TrainingRun._note

    def forgetful(run: TrainingRun, batch: Batch, seconds: float) -> None:
        note(run, replace(batch, rows=batch.rows[1:]) if batch.position < 30 else batch, seconds)

    monkeypatch.setattr(TrainingRun, "_note", forgetful)
    with pytest.raises(CheckError, match=r"Epoch 1 did not show .*: row \d+ .* 0 times"):
        run(tmp_path, recipe)
