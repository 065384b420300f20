import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from trainer.arms import EVEN, Arm, make_arm
from trainer.evaluate.scores import Evaluation, Score
from trainer.fit.history import Epoch
from trainer.report import curves, gather, markdown, table
from trainer.stream.batches import Dataset

HISTORY = tuple(
    Epoch(epoch=i, train_loss=1 / i, val_loss=0.2 + 1 / i, val_auc_mean=0.5 + i / 20,
          val_auc=(None, 0.5 + i / 20, 0.5 + i / 20))
    for i in range(1, 5)
)  # fmt: skip


def score(name: str, **changes: Any) -> Score:
    facts = {"positives": 30, "negatives": 60, "unknown": 1, "auc": 0.8125, "low": 0.7, "high": 0.9}
    return Score(pathology=name, **(facts | {"missing": ""} | changes))


NONE = score("Hernia", positives=0, auc=None, low=None, high=None, missing="no AUC, for a reason")
SCORES = (NONE, score("Lung Lesion"), score("Fracture", positives=80))
EVALUATION = Evaluation(val=SCORES, test=SCORES, predictions=b"", unread={})


def arm(data: Dataset, name: str = "gan") -> Arm:
    return make_arm(name, data, epochs=4, seed=0, augment="none", mix=EVEN, steps="equal")


@pytest.fixture
def facts(data: Dataset, recipe: Any) -> dict[str, Any]:
    found = gather(data, arm(data), recipe, HISTORY, EVALUATION)
    return found | {"command": "xtrain it", "config": {"lr": 0.1}}


def test_targets_stand_first_with_counts_from_the_index(data: Dataset, facts: Any):
    assert [row["pathology"] for row in facts["pathologies"]] == [
        "Lung Lesion", "Hernia", "Fracture",
    ]  # fmt: skip
    positive = data.index.labels[:, 1] == 1
    for origin in ("real", "synthetic"):
        there = positive & (data.index.split == "train") & (data.index.origin == origin)
        assert facts["pathologies"][0][f"train_{origin}"] == there.sum()
    assert facts["best_epoch"] == 4


def test_report_is_plain_json_without_nan(facts: Any):
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_markdown_says_what_matters(facts: Any):
    text = markdown(facts)
    assert "| **Lung Lesion** |" in text
    assert "| 30 | 0.812 | 0.700 to 0.900 |" in text
    assert "phantoms, not radiographs" in text
    assert "Hernia in val and test: no AUC, for a reason." in text
    assert "read with care: Lung Lesion (30)." in text
    assert "xtrain it" in text
    assert "| lr | `0.1` |" in text
    assert "(curves.png)" in text


def test_another_generator_is_not_called_a_phantom(data: Dataset, recipe: Any):
    other = replace(data, manifest=replace(data.manifest, generator={"name": "pggan"}))
    assert "phantom" not in markdown(
        gather(other, arm(data), recipe, HISTORY, EVALUATION) | {"command": "", "config": {}}
    )


def test_without_test_images_the_report_says_so(data: Dataset, recipe: Any):
    rows = np.flatnonzero(data.index.split != "test")
    index = replace(data.index, **{
        name: getattr(data.index, name)[rows] for name in data.index.__slots__
    })  # fmt: skip
    evaluation, other = replace(EVALUATION, test=()), replace(data, index=index)
    facts = gather(other, arm(other), recipe, HISTORY, evaluation)
    assert "The dataset has no test images: there is no test AUC." in facts["notes"]
    text = markdown(facts | {"command": "", "config": {}})
    assert "| – | – | – |" in text


def test_without_validation_auc_the_report_says_so(data: Dataset, recipe: Any):
    history = tuple(replace(row, val_auc_mean=None, val_auc=(None,) * 3) for row in HISTORY)
    facts = gather(data, arm(data), recipe, history, EVALUATION) | {"command": "", "config": {}}
    assert any("the lowest loss there chose the epoch" in note for note in facts["notes"])
    assert "(lowest validation loss, " in markdown(facts)
    assert curves(facts, history, data.manifest.pathologies)


def test_table_shows_the_targets_and_their_auc(facts: Any):
    console = Console(file=io.StringIO(), width=80)
    console.print(table(facts))
    text = console.file.getvalue()
    assert "0.812" in text
    assert "Fracture" not in text


def test_curves_are_a_picture_the_same_each_time(data: Dataset, facts: Any, tmp_path: Path):
    image = curves(facts, HISTORY, data.manifest.pathologies)
    (tmp_path / "curves.png").write_bytes(image)
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1650, 660)
    assert image == curves(facts, HISTORY, data.manifest.pathologies)
