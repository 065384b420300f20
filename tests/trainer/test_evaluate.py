import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from trainer.evaluate import bootstrap_auc, evaluate, resample
from trainer.stream import Dataset


def case(seed: int, ties: bool) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], 90, p=(0.1, 0.7, 0.2)).astype(np.int8)
    scores = (rng.random(90) + 0.4 * (labels == 1)).astype(np.float32)
    scores = np.round(scores, 1) if ties else scores
    patients = rng.permutation(np.arange(90) // 3)
    return labels, scores, patients, resample(30, 70, seed=seed)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_bootstrap_equals_sklearn_on_the_images_drawn(seed: int, ties: bool):
    labels, scores, patients, counts = case(seed, ties)
    found = bootstrap_auc(labels, scores, patients, counts)
    for number, value in enumerate(found):
        rows = np.repeat(np.arange(90), counts[patients, number])  # an image per time drawn
        rows = rows[labels[rows] >= 0]
        assert value == pytest.approx(roc_auc_score(labels[rows], scores[rows]), abs=1e-12)


def test_bootstrap_equals_a_naive_loop_over_pairs():
    labels, scores, patients, counts = case(5, ties=True)
    weight = counts[patients, 11]
    wins = pairs = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            w = float(weight[i] * weight[j])
            wins += w * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
            pairs += w
    assert bootstrap_auc(labels, scores, patients, counts)[11] == pytest.approx(wins / pairs)


def test_a_resample_without_a_class_has_no_auc():
    labels, scores = np.array([1, 0, 0], np.int8), np.array([0.9, 0.1, 0.2], np.float32)
    counts = np.array([[0, 1], [2, 1], [1, 1]], np.int32)
    first, second = bootstrap_auc(labels, scores, np.arange(3), counts)
    assert math.isnan(first)
    assert second == 1


def test_resamples_draw_as_many_patients_as_there_are_evenly_and_by_seed():
    counts = resample(40, 500, seed=1)
    assert (counts.sum(axis=0) == 40).all()
    assert abs(counts.mean(axis=1) - 1).max() < 0.2
    assert counts.var() == pytest.approx(1, abs=0.05)  # binomial
    assert np.array_equal(counts, resample(40, 500, seed=1))
    assert not np.array_equal(counts, resample(40, 500, seed=2))


class Brightness(nn.Module):
    """A score that the images decide: Lung Lesion's square is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        square = x[:, 0, 4:14, 4:14].mean(dim=(1, 2)) / 200
        return torch.stack([square, square, -square], dim=1)


@pytest.fixture
def found(data: Dataset, placed: Any) -> Any:
    return evaluate(data, Brightness(), placed(Path()), batch=16, seed=0)


def test_scores_equal_a_recomputation_from_the_predictions(data: Dataset, found: Any):
    table = pq.read_table(io.BytesIO(found.predictions)).to_pandas()
    assert list(table.columns[:3]) == ["key", "split", "patient"]
    assert list(table.key) == [k for s in ("val", "test") for k in data.index.key[data.rows(s)]]
    for split, scores in (("val", found.val), ("test", found.test)):
        part = table[table.split == split]
        for score in scores:
            labels, values = (
                part[f"label:{score.pathology}"],
                part[f"probability:{score.pathology}"],
            )
            known = labels >= 0
            assert score.positives == (labels == 1).sum()
            assert score.negatives == (labels == 0).sum()
            assert score.unknown == (labels == -1).sum()
            if score.auc is not None:
                assert score.auc == pytest.approx(roc_auc_score(labels[known], values[known]))
    assert table["probability:Fracture"].between(0, 1).all()


def test_test_scores_have_intervals_and_validation_has_none(found: Any):
    hernia, lesion, fracture = found.test
    assert lesion.auc > 0.95
    assert lesion.low <= lesion.auc <= lesion.high
    assert fracture.low < fracture.auc < fracture.high
    assert found.val[2].auc is not None
    assert found.val[2].low is None
    assert (hernia.auc, hernia.low) == (None, None)
    assert hernia.missing == "no AUC, for no image is positive"


def test_one_patient_gives_no_interval(data: Dataset, placed: Any):
    index = data.index
    lesion = (index.split == "test") & (index.labels[:, 1] == 1)
    index.patient[lesion] = "somebody"
    score = evaluate(data, Brightness(), placed(Path()), batch=16, seed=0).test[1]
    assert score.auc is not None
    assert score.low is None
    assert "one patient" in score.missing
