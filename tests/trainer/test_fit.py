import csv
import json
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from builder.contract import CheckError, UsageError
from trainer import fit as module
from trainer.fit import Epoch, Place, Recipe, Run, auc, best_epoch, fit, masked_loss
from trainer.model import load_weights
from trainer.stream import Dataset

RECIPE = Recipe(
    epochs=3, batch=32, lr=1e-3, optimizer="adam", augment="flip", init="random", seed=0
)


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


def place(out: Path, workers: int = 2) -> Place:
    return Place(out=out, device=torch.device("cpu"), workers=workers)


def run(data: Dataset, out: Path, recipe: Recipe = RECIPE, **options: Any) -> tuple[Epoch, ...]:
    asked = {"facts": {}, "resume": False} | options
    return fit(data, small(), recipe, place(out), **asked)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model"]


def test_masked_loss_is_the_mean_over_known_labels():
    logits = torch.tensor([[0.3, -2.0], [1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[1.0, -1.0], [0.0, -1.0]])
    total, known = masked_loss(logits, labels)
    want = -math.log(1 / (1 + math.exp(-0.3))) - math.log(1 - 1 / (1 + math.exp(-1.0)))
    assert known == 2
    assert total.item() == pytest.approx(want, rel=1e-6)
    total.backward()
    assert (logits.grad[:, 1] == 0).all()


def test_a_batch_with_nothing_known_has_no_loss():
    total, known = masked_loss(torch.randn(4, 3), torch.full((4, 3), -1.0))
    assert (total / known.clamp(min=1)).item() == 0


def test_auc_is_sklearns_over_known_labels_and_none_without_both_classes():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(-1, 2, 200).astype(np.int8), rng.random(200).astype(np.float32)
    known = labels >= 0
    assert auc(labels, scores) == roc_auc_score(labels[known], scores[known])
    assert auc(np.array([1, 1, -1], np.int8), scores[:3]) is None
    assert auc(np.array([-1, -1, -1], np.int8), scores[:3]) is None


def row(epoch: int, loss: float, mean: float | None) -> Epoch:
    return Epoch(epoch=epoch, train_loss=1.0, val_loss=loss, val_auc_mean=mean, val_auc=())


def test_best_epoch_goes_by_auc_then_by_loss():
    assert best_epoch([row(1, 0.1, 0.6), row(2, 0.9, 0.8), row(3, 0.2, 0.7)]).epoch == 2
    assert best_epoch([row(1, 0.5, 0.8), row(2, 0.4, 0.8), row(3, 0.4, 0.8)]).epoch == 2
    assert best_epoch([row(1, 0.5, None), row(2, 0.3, None), row(3, 0.4, None)]).epoch == 2


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_stopped_after_any_epoch_and_resumed_ends_like_the_unbroken_run(
    data: Dataset, tmp_path: Path, optimizer: str
):
    recipe = replace(RECIPE, optimizer=optimizer)
    whole = run(data, tmp_path / "whole", recipe)
    for stop in (1, 2):
        out = tmp_path / f"stopped{stop}"
        run(data, out, replace(recipe, epochs=stop))
        assert run(data, out, recipe, resume=True) == whole
        for name in ("history.csv", "best.safetensors"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        a, b = weights(out / "last.pt"), weights(tmp_path / "whole/last.pt")
        assert all(torch.equal(a[name], b[name]) for name in b)


def test_killed_before_the_checkpoint_the_epoch_is_run_again(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = run(data, tmp_path / "whole")
    write, left = module.write_last, [6]

    def killed(path: Path, content: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        write(path, content)

    out = tmp_path / "out"
    for after in range(2, 12):
        left[0] = after
        monkeypatch.setattr(module, "write_last", killed)
        with suppress(KeyboardInterrupt):
            run(data, out, resume=True)
    monkeypatch.setattr(module, "write_last", write)
    assert run(data, out, resume=True) == whole
    for name in ("history.csv", "best.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_number_of_threads_changes_nothing(data: Dataset, tmp_path: Path):
    for workers in (1, 4):
        fit(data, small(), RECIPE, place(tmp_path / str(workers), workers), facts={}, resume=False)
    one, four = ((tmp_path / n / "history.csv").read_bytes() for n in ("1", "4"))
    assert one == four


def test_files_of_an_epoch(data: Dataset, tmp_path: Path):
    history = run(data, tmp_path, facts={"asked": 1})
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
    _, facts = load_weights(tmp_path / "best.safetensors")
    assert facts["pathologies"] == list(data.manifest.pathologies)
    assert facts["manifest"] == data.manifest.digest
    assert facts["image"] == {"height": 32, "width": 32, "codec": "jpg", "quality": 95}
    assert facts["epoch"] == best_epoch(history).epoch
    assert facts["lr"] == 1e-3


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0.1), ("batch", 8), ("seed", 5), ("optimizer", "momentum")]
)
def test_resuming_with_another_recipe_names_the_field(
    data: Dataset, tmp_path: Path, field: str, value: Any
):
    run(data, tmp_path, replace(RECIPE, epochs=1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=f"with {field} .*now it is {value}"):
        run(data, tmp_path, replace(RECIPE, **{field: value}), resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_on_another_dataset_is_refused(data: Dataset, tmp_path: Path):
    run(data, tmp_path, replace(RECIPE, epochs=1))
    other = replace(data, manifest=replace(data.manifest, name="other"))
    with pytest.raises(UsageError, match="with manifest "):
        run(other, tmp_path, resume=True)


def test_fewer_epochs_than_done_is_refused(data: Dataset, tmp_path: Path):
    run(data, tmp_path)
    with pytest.raises(UsageError, match="already has 3 epochs"):
        run(data, tmp_path, replace(RECIPE, epochs=2), resume=True)


def test_a_cut_checkpoint_is_refused(data: Dataset, tmp_path: Path):
    run(data, tmp_path, replace(RECIPE, epochs=1))
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckError, match="is cut"):
        run(data, tmp_path, resume=True)
    torch.save({"identity": {}}, path)
    with pytest.raises((CheckError, UsageError)):
        run(data, tmp_path, resume=True)


def test_a_diverging_loss_stops_and_keeps_the_last_good_checkpoint(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(data, tmp_path, replace(RECIPE, epochs=1))
    before = (tmp_path / "last.pt").read_bytes()
    step = Run._step
    monkeypatch.setattr(Run, "_step", lambda *arguments: step(*arguments) * math.nan)
    with pytest.raises(
        UsageError, match=r"not finite in epoch 2 .*smaller.*last\.pt holds epoch 1"
    ):
        run(data, tmp_path, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before
