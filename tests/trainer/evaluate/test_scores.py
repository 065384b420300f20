import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from trainer.evaluate.metrics import average_precision, reliability, sensitivity_at
from trainer.evaluate.scores import evaluate
from trainer.stream.batches import Dataset


class Brightness(nn.Module):
    """A score that the images decide: Lung Lesion's square is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        square = x[:, 0, 4:14, 4:14].mean(dim=(1, 2)) / 200
        return torch.stack([square, square, -square], dim=1)


@pytest.fixture
def found(data: Dataset, placed: Any) -> Any:
    return evaluate(data, Brightness(), placed(Path()), seed=0, min_positives=10)


def test_scores_equal_a_recomputation_from_the_predictions(data: Dataset, found: Any) -> None:
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


def test_test_scores_have_intervals_and_validation_has_none(found: Any) -> None:
    hernia, lesion, fracture = found.test
    assert (lesion.auc, lesion.low) == (1, None)
    assert lesion.missing == "no interval, because an AUC of 1.000 is the same in all resamples"
    assert fracture.low < fracture.auc < fracture.high
    assert found.val[2].auc is not None
    assert found.val[2].low is None
    assert (hernia.auc, hernia.low) == (None, None)
    assert hernia.missing == "no AUC, because no image is positive"


def test_one_patient_gives_no_interval(data: Dataset, placed: Any) -> None:
    index = data.index
    lesion = (index.split == "test") & (index.labels[:, 1] == 1)
    patient = np.where(lesion, "somebody", index.patient)
    data = replace(data, index=replace(index, patient=patient))
    score = evaluate(data, Brightness(), placed(Path()), seed=0, min_positives=10).test[1]
    assert score.auc is not None
    assert score.low is None
    assert "one patient" in score.missing


def test_figures_beside_the_auc_are_the_metrics_of_the_predictions(found: Any) -> None:
    table = pq.read_table(io.BytesIO(found.predictions)).to_pandas()
    part = table[table.split == "test"]
    labels = part["label:Fracture"].to_numpy()
    values = part["probability:Fracture"].to_numpy()
    score = found.test[2]
    assert score.average_precision == average_precision(labels, values)
    assert score.calibration_error == reliability(labels, values).error
    assert score.sensitivity == sensitivity_at(labels, values, 0.9)
    assert found.val[2].average_precision is None


def test_few_positives_get_no_figure(data: Dataset, placed: Any) -> None:
    found = evaluate(data, Brightness(), placed(Path()), seed=0, min_positives=40)
    for score in (*found.val[1:], *found.test[1:]):
        assert (score.auc, score.low, score.average_precision) == (None, None, None)
        assert score.missing == f"no figure, because {score.positives} positives are fewer than 40"


def test_groups_go_into_the_predictions_where_the_index_has_them(
    data: Dataset, placed: Any
) -> None:
    where = placed(Path())
    plain = evaluate(data, Brightness(), where, seed=0, min_positives=10)
    assert "sex" not in pq.read_schema(io.BytesIO(plain.predictions)).names
    sex = np.where(data.index.split == "test", "female", "").astype(object)
    data = replace(data, index=replace(data.index, sex=sex))
    found = evaluate(data, Brightness(), where, seed=0, min_positives=10)
    table = pq.read_table(io.BytesIO(found.predictions)).to_pandas()
    assert set(table.sex[table.split == "test"]) == {"female"}
    assert set(table.sex[table.split == "val"]) == {""}
    assert "view" not in table
