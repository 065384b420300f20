import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError, UsageError
from trainer.fit.track import Tracker, require, trackers
from trainer.recipe import Recipe, RunConfig

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
wandb = pytest.importorskip("wandb")

Track = Callable[..., list[Tracker]]
Draw = Callable[..., None]


@pytest.fixture
def track(config: RunConfig) -> Track:
    """The function that opens trackers: (out, name …, resume=)."""

    def opened(out: Path, *names: str, resume: bool = False) -> list[Tracker]:
        return trackers(names, out=out, name="gan10", config=config, resume=resume)

    return opened


@pytest.fixture
def config(recipe: Recipe, config_of: Callable[[Recipe], RunConfig]) -> RunConfig:
    return config_of(recipe)


@pytest.fixture
def draw(track: Track) -> Draw:
    """The function that draws steps with TensorBoard: (out, steps, resume=, close=)."""

    def make(out: Path, steps: range, *, resume: bool, close: bool = True) -> None:
        (tracker,) = track(out, "tensorboard", resume=resume)
        for step in steps:
            tracker.log(step, {"train_loss": 1 / step, "val_auc_mean": 0.5 + step / 100})
        if close:
            tracker.close()

    return make


def drawn(out: Path) -> Any:
    events = accumulator.EventAccumulator(str(out))
    events.Reload()
    return events


def test_tensorboard_shows_what_was_logged_and_the_config(
    tmp_path: Path, draw: Draw, config: RunConfig
) -> None:
    draw(tmp_path, range(1, 6), resume=False)
    events = drawn(tmp_path)
    assert sorted(events.Tags()["scalars"]) == ["train_loss", "val_auc_mean"]
    points = events.Scalars("train_loss")
    assert [point.step for point in points] == [1, 2, 3, 4, 5]
    assert [point.value for point in points] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    (text,) = events.Tensors("config/text_summary")
    assert json.loads(text.tensor_proto.string_val[0]) == asdict(config)


def test_a_resumed_run_draws_no_step_twice(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path, range(1, 8), resume=False, close=False)  # killed; the checkpoint is of step 4
    draw(tmp_path, range(5, 10), resume=True)
    assert [point.step for point in drawn(tmp_path).Scalars("train_loss")] == list(range(1, 10))


def test_a_complete_run_that_is_resumed_leaves_tensorboard_alone(
    tmp_path: Path, draw: Draw
) -> None:
    draw(tmp_path, range(1, 4), resume=False)
    before = {path.name for path in tmp_path.iterdir()}
    draw(tmp_path, range(0), resume=True)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.mark.usefixtures("offline")
def test_wandb_offline_leaves_runs_to_sync_under_one_id(tmp_path: Path, track: Track) -> None:
    out = tmp_path / "gan10"
    for resume in (False, True):
        (tracker,) = track(out, "wandb", resume=resume)
        tracker.log(64, {"train_loss": 0.5})
        tracker.close()
    remembered = (out / "wandb/run-id").read_text()
    files = list((out / "wandb").glob("offline-run-*/*.wandb"))
    assert {path.name for path in files} == {f"run-{remembered}.wandb"}
    end = time.monotonic() + 20  # finish() returns a moment before W&B's own process has written
    while not all(b"train_loss" in path.read_bytes() for path in files):
        assert time.monotonic() < end
        time.sleep(0.05)
    track(out, "wandb")[0].close()  # a new run in the same folder is another one
    assert (out / "wandb/run-id").read_text() != remembered


def test_wandb_that_cannot_start_is_one_sentence(
    tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise wandb.Error("No API key configured.\nMore of it.")

    monkeypatch.setattr(wandb, "init", fail)
    with pytest.raises(CheckError, match=r"\(No API key configured.\): try `wandb login`"):
        track(tmp_path, "wandb")


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"{name} needs .* pip install 'cxr-rebalance\[track\]'"):
        require([name])


def test_without_names_there_is_no_tracker(tmp_path: Path, track: Track) -> None:
    assert track(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
