import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from builder.contract.record import to_json
from trainer.arms import Arm, make_arm
from trainer.evaluate.scores import Evaluation, Score
from trainer.fit.history import Epoch
from trainer.recipe import Recipe, RunConfig
from trainer.report import RunReport, gather
from trainer.stream.batches import Dataset

Scored = tuple[Arm, RunConfig, tuple[Epoch, ...], Evaluation]


@pytest.fixture
def make_arm_of(recipe: Recipe) -> Callable[[Dataset], Arm]:
    """The function that makes the gan arm of a dataset, for four epochs."""
    return lambda data: make_arm(replace(recipe, epochs=4, augment="none"), data)


@pytest.fixture
def history() -> tuple[Epoch, ...]:
    """Four epochs, the last one the best."""
    return tuple(
        Epoch(
            epoch=i,
            train_loss=1 / i,
            val_loss=0.2 + 1 / i,
            val_auc_mean=0.5 + i / 20,
            val_auc=(None, 0.5 + i / 20, 0.5 + i / 20),
        )
        for i in range(1, 5)
    )


@pytest.fixture
def scored(
    data: Dataset,
    recipe: Recipe,
    history: tuple[Epoch, ...],
    make_arm_of: Callable[[Dataset], Arm],
) -> Scored:
    """What a report is gathered from, the dataset apart."""
    config = RunConfig(
        manifest=data.manifest.name,
        manifest_sha256=data.manifest.digest,
        shards="tiny.json",
        shards_root=None,
        out="runs/tiny",
        **asdict(recipe),
        init_sha256=None,
        device="cpu",
        ranks=1,
        workers=2,
        skip_bad=False,
    )
    lesion = Score(
        pathology="Lung Lesion", positives=30, negatives=60, unknown=1,
        auc=0.8125, low=0.7, high=0.9,
    )  # fmt: skip
    hernia = Score(
        pathology="Hernia", positives=0, negatives=60, unknown=1, missing="no AUC, for a reason"
    )
    scores = (hernia, lesion, replace(lesion, pathology="Fracture", positives=80))
    evaluation = Evaluation(val=scores, test=scores, predictions=b"", unread={})
    return make_arm_of(data), config, history, evaluation


@pytest.fixture
def gathered(data: Dataset, scored: Scored) -> RunReport:
    """The report of a run that nobody trained."""
    return gather(data, *scored, command="xtrain it")


def test_targets_come_first_with_counts_from_the_index(data: Dataset, gathered: RunReport) -> None:
    names = [row.pathology for row in gathered.pathologies]
    assert names == ["Lung Lesion", "Hernia", "Fracture"]
    assert [row.target for row in gathered.pathologies] == [True, False, False]
    positive, lesion = data.index.labels[:, 1] == 1, gathered.pathologies[0]
    for origin, count in (("real", lesion.train_real), ("synthetic", lesion.train_synthetic)):
        train = positive & (data.index.split == "train") & (data.index.origin == origin)
        assert count == train.sum()


def test_the_best_epoch_is_that_of_the_history(gathered: RunReport) -> None:
    assert (gathered.best_epoch, gathered.epochs) == (4, 4)
    assert gathered.best_val_auc_mean == pytest.approx(0.7)
    assert gathered.command == "xtrain it"


def test_its_json_has_no_nan(gathered: RunReport) -> None:
    text = to_json(gathered)
    assert json.dumps(json.loads(text), allow_nan=False, indent=2) + "\n" == text


def test_another_generator_is_not_called_a_phantom(data: Dataset, scored: Scored) -> None:
    other = replace(data, manifest=replace(data.manifest, generator={"name": "pggan"}))
    assert not [n for n in gather(other, *scored, command="").notes if "phantom" in n]
    assert [n for n in gather(data, *scored, command="").notes if "phantom" in n]


def test_a_mapped_label_is_said(data: Dataset, scored: Scored) -> None:
    facts = {"name": "pggan", "label_map": {"Lung Lesion": "Mass", "Fracture": "Nodule"}}
    mapped = replace(data, manifest=replace(data.manifest, generator=facts))
    said = "The generator shows Fracture as Nodule, Lung Lesion as Mass, a label that it knows"
    assert [n for n in gather(mapped, *scored, command="").notes if n.startswith(said)]
    assert not [n for n in gather(data, *scored, command="").notes if "--label-map" in n]


def test_a_dataset_of_real_images_alone_has_no_target(data: Dataset, scored: Scored) -> None:
    manifest = replace(data.manifest, schema=2, plan=None, generator=None)
    found = gather(replace(data, manifest=manifest), *scored, command="")
    assert (found.targets, found.generator_name) == ((), None)
    assert not any(row.target for row in found.pathologies)


def test_without_test_images_the_report_says_so(
    data: Dataset, scored: Scored, make_arm_of: Callable[[Dataset], Arm]
) -> None:
    _, config, history, evaluation = scored
    rows = np.flatnonzero(data.index.split != "test")
    columns = {name: getattr(data.index, name)[rows] for name in data.index.__slots__}
    other = replace(data, index=replace(data.index, **columns))
    evaluation = replace(evaluation, test=())
    found = gather(other, make_arm_of(other), config, history, evaluation, command="")
    assert "The dataset has no test images: there is no test AUC." in found.notes
    assert all(row.test is None for row in found.pathologies)


def test_images_that_could_not_be_read_are_a_note(data: Dataset, scored: Scored) -> None:
    arm, config, history, evaluation = scored
    evaluation = replace(evaluation, unread=dict.fromkeys(range(1200), "cut"))
    found = gather(data, arm, config, history, evaluation, command="")
    assert "1,200 val and test images could not be read: unread.csv lists them." in found.notes


def test_without_validation_auc_the_report_says_so(data: Dataset, scored: Scored) -> None:
    arm, config, history, evaluation = scored
    history = tuple(replace(row, val_auc_mean=None, val_auc=(None,) * 3) for row in history)
    found = gather(data, arm, config, history, evaluation, command="")
    said = "the epoch with the lowest validation loss was chosen."
    assert any(note.endswith(said) for note in found.notes)
