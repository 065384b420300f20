"""A run of another network than DenseNet-121, from training to what applies its weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from builder.audit.features import classifier_features
from builder.checks.classifier import load
from builder.contract import CheckError, Stopped, UsageError
from builder.contract.weights import read_header
from trainer.fit.control import Control, Wish
from trainer.predict import predict_shards
from trainer.recipe import read_config
from trainer.report.load import load_run
from trainer.train import rescore, train

PlanOf = Callable[..., Any]
NETWORK = "squeezenet1_1"  # small, and it drops out


@pytest.fixture(scope="module")
def done(shared: Any, plan_of: PlanOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs, to read only."""
    out = tmp_path_factory.mktemp("runs") / "squeezed"
    train(*plan_of(shared, out, network=NETWORK))
    return out


def test_the_run_says_which_network_it_is(done: Path) -> None:
    assert read_config(done).recipe.network == NETWORK
    assert read_header(done / "best.safetensors").network == NETWORK
    found = load_run(done)
    assert found.modifiers == (NETWORK,)
    assert f"--network={NETWORK}" in found.report.command


def test_its_weights_are_applied_as_any_others(done: Path, shared: Any, tmp_path: Path) -> None:
    weights, out = done / "best.safetensors", tmp_path / "test.parquet"
    how: Any = {"batch": None, "workers": 1, "device": torch.device("cpu"), "skip_bad": False}
    predict_shards(weights, shared.located(), split="test", out=out, **how)
    told = load_run(done).test
    found = pq.read_table(out)
    predicted = np.stack([found[name].to_numpy() for name in told.names], axis=1)
    assert found["key"].to_pylist() == told.key.tolist()
    assert (predicted == told.probabilities).all()
    images = np.random.default_rng(0).integers(256, size=(5, 32, 32), dtype=np.uint8)
    features, probabilities = classifier_features(weights).read(images)
    assert features.shape == (5, 512)
    checked = load(str(weights)).classifier(images)
    np.testing.assert_allclose(probabilities, checked, atol=1e-5)


def test_a_run_that_drops_out_is_resumed_exactly(
    done: Path, shared: Any, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, wish = [4], Control.wish

    def stopping(control: Control) -> Wish:
        left[0] -= 1
        control.signal = 15 if left[0] == 0 else control.signal
        return wish(control)

    monkeypatch.setattr(Control, "wish", stopping)
    with pytest.raises(Stopped):
        train(*plan_of(shared, tmp_path / "run", network=NETWORK))
    torch.rand(7)  # another process has drawn other numbers
    train(*plan_of(shared, tmp_path / "run", network=NETWORK, resume=True))
    for name in ("history.csv", "best.safetensors", "predictions.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (done / name).read_bytes()


def test_another_network_is_another_run(done: Path, shared: Any, plan_of: PlanOf) -> None:
    with pytest.raises(UsageError, match="begun with network squeezenet1_1, now it is resnet18"):
        train(*plan_of(shared, done, network="resnet18", resume=True))
    with pytest.raises(CheckError, match="the weights of another network"):
        rescore(*plan_of(shared, done, network="squeezenet1_0"))


def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    shared: Any, plan_of: PlanOf, tmp_path: Path
) -> None:
    for network, why in (("resnet19", "such as resnet18"), ("alexnet", "cannot take images of 32")):
        with pytest.raises(UsageError, match=why):
            train(*plan_of(shared, tmp_path / "run", network=network))
    assert not (tmp_path / "run").exists()
