from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from builder.contract import sha256_file
from builder.contract.record import read_record
from trainer.evaluate.external import ExternalTest, external_tests
from trainer.evaluate.external_scores import (
    ExternalScores,
    is_scored,
    score_external,
    scores_path,
)
from trainer.stream.batches import Dataset


class Brightness(nn.Module):
    """A score that the images decide: Lung Lesion's square is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        square = x[:, 0, 4:14, 4:14].mean(dim=(1, 2)) / 200
        return torch.stack([square, square, -square], dim=1)


@pytest.fixture
def test_set(shared: Any) -> ExternalTest:
    """The same dataset under another name, which calls two labels otherwise and lacks one."""
    here = shared.located()
    there = replace(here, manifest=replace(here.manifest, name="there"))
    (found,) = external_tests([("there.json", there)], here, ())
    return replace(found, labels=found.labels[1:], left_out=("Hernia",))


@pytest.fixture
def scored(
    data: Dataset, test_set: ExternalTest, placed: Callable[..., Any], tmp_path: Path
) -> ExternalScores:
    return score_external(
        data, Brightness(), test_set, placed(tmp_path),
        pathologies=data.manifest.pathologies, manifest="a" * 64, epoch=3, seed=0,
        min_positives=5,
    )  # fmt: skip


def test_scores_and_probabilities_lie_in_the_folder_of_the_run(
    scored: ExternalScores, test_set: ExternalTest, data: Dataset, tmp_path: Path
) -> None:
    path = scores_path(tmp_path, test_set)
    assert path.parent == tmp_path / "external"
    assert read_record(path, ExternalScores) == scored
    assert sha256_file(path.with_suffix(".parquet")) == scored.predictions
    table = pd.read_parquet(path.with_suffix(".parquet"))
    rows = data.rows("test")
    assert list(table.key) == list(data.index.key[rows])
    assert (scored.images, scored.unread) == (44, 0)
    assert [score.pathology for score in scored.scores] == ["Lung Lesion", "Fracture"]
    assert (table["label:Hernia"] == -1).all()
    fracture = scored.scores[1]
    known = table[table["label:Fracture"] >= 0]
    assert fracture.auc == pytest.approx(
        roc_auc_score(known["label:Fracture"], known["probability:Fracture"])
    )
    assert fracture.low is not None


def test_a_run_is_scored_once_for_its_weights_and_labels(
    scored: ExternalScores, test_set: ExternalTest, tmp_path: Path
) -> None:
    assert is_scored(tmp_path, test_set, manifest="a" * 64, epoch=3)
    assert not is_scored(tmp_path, test_set, manifest="a" * 64, epoch=4)
    assert not is_scored(tmp_path, test_set, manifest="b" * 64, epoch=3)
    other = replace(test_set, labels=test_set.labels[:1])
    assert not is_scored(tmp_path, other, manifest="a" * 64, epoch=3)
    assert not is_scored(
        tmp_path, replace(test_set, digest="c" * 64), manifest="a" * 64, epoch=3
    )  # fmt: skip
    assert scored.epoch == 3
    scores_path(tmp_path, test_set).write_text("{")
    assert not is_scored(tmp_path, test_set, manifest="a" * 64, epoch=3)
