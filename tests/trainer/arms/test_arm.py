from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from builder.contract import CheckError, UsageError
from trainer.arms import (
    ARMS,
    AUGMENTS,
    EVEN,
    STEPS,
    default_arm,
    make_arm,
    parse_mix,
    positive_weight,
    twins,
)
from trainer.cli import main
from trainer.stream.batches import Dataset
from trainer.stream.order import coverage, cut


def arm(data: Dataset, name: str, **changes: Any) -> Any:
    asked = {"epochs": 4, "seed": 0, "augment": "none", "mix": EVEN, "steps": "equal"}
    return make_arm(name, data, **(asked | changes))


def origins(data: Dataset, rows: Any) -> Counter[str]:
    return Counter(data.index.origin[rows])


def vectors(data: Dataset, rows: Any) -> Counter[bytes]:
    return Counter(data.index.labels[row].tobytes() for row in rows)


def test_each_arm_shows_what_its_name_says(data: Dataset):
    shown = {
        name: [origins(data, arm(data, name).order.epoch(n)) for n in range(1, 5)] for name in ARMS
    }
    for name in ("none", "flip", "classweight", "oversample"):
        assert shown[name] == [{"real": 129}] * 4
    assert shown["gan"] == [{"real": 97, "synthetic": 32}] * 4
    assert shown["pretrain"] == [{"synthetic": 129}] + [{"real": 129}] * 3


def test_equal_steps_are_equal_and_own_ones_are_the_arms(data: Dataset):
    def steps(name: str, how: str) -> int:
        made = arm(data, name, steps=how)
        return sum(len(cut(len(made.order.epoch(n)), 16)) for n in range(1, 5))

    assert {steps(name, "equal") for name in ARMS} == {4 * 9}
    assert steps("none", "own") == 4 * 7
    assert steps("gan", "own") == steps("oversample", "own") == 4 * 9
    assert steps("pretrain", "own") == 2 + 3 * 7


@pytest.mark.parametrize(
    "mix", [EVEN, {"real": 1.0, "synthetic": 0.5}, {"real": 2.0, "synthetic": 3.0}]
)
def test_oversample_shows_the_label_vectors_of_gan_in_the_same_places(data: Dataset, mix: Any):
    gan, over = (arm(data, name, mix=mix).order for name in ("gan", "oversample"))
    for epoch in (1, 2, 3):
        a, b = gan.epoch(epoch), over.epoch(epoch)
        assert np.array_equal(data.index.labels[a], data.index.labels[b])
        real = data.index.origin[a] == "real"
        assert np.array_equal(a[real], b[real])
        assert (data.index.origin[b] == "real").all()


def test_twins_serve_in_turn(data: Dataset):
    found = twins(data, seed=0)
    synthetic = data.rows("train", "synthetic")
    others = np.setdiff1d(np.arange(len(data.index)), synthetic)
    assert np.array_equal(found[others], others)
    copies = Counter(found[synthetic].tolist())
    for vector, count in vectors(data, synthetic).items():
        group = [r for r in data.rows("train", "real") if data.index.labels[r].tobytes() == vector]
        each = [copies[row] for row in group]
        assert sum(each) == count
        assert max(each) - min(each) <= 1
    assert not np.array_equal(found, twins(data, seed=1))


def test_labels_without_a_real_twin_are_refused(data: Dataset):
    labels = data.index.labels.copy()
    labels[data.rows("train", "real")] = 0
    labels[data.rows("train", "synthetic")[-1]] = 1
    with pytest.raises(CheckError, match="labels that no real training image has"):
        twins(replace(data, index=replace(data.index, labels=labels)), seed=0)


def test_mix_weighs_the_origins_exactly_and_without_repeats_inside_a_pass(data: Dataset):
    order = arm(data, "gan", mix={"real": 1.0, "synthetic": 0.5}).order
    first, second = order.epoch(1), order.epoch(2)
    assert origins(data, first) == origins(data, second) == {"real": 97, "synthetic": 16}
    synthetic = np.concatenate([first, second])
    synthetic = synthetic[data.index.origin[synthetic] == "synthetic"]
    assert sorted(synthetic) == data.rows("train", "synthetic").tolist()
    twice = arm(data, "gan", mix={"real": 2.0, "synthetic": 1.0}).order.epoch(1)
    assert (coverage(twice, len(data.index))[data.rows("train", "real")] == 2).all()


def test_held_out_rows_are_never_shown(data: Dataset):
    for name in ARMS:
        for epoch in range(1, 5):
            assert {*data.index.split[arm(data, name).order.epoch(epoch)]} == {"train"}


def test_flip_and_classweight_are_what_they_say(data: Dataset):
    assert arm(data, "flip").augment == "flip"
    assert arm(data, "gan").augment == "none"
    assert arm(data, "gan", augment="flip").augment == "flip"
    assert arm(data, "none").positive_weight is None
    labels = data.index.labels[data.rows("train", "real")]
    want = (labels == 0).sum(axis=0) / (labels == 1).sum(axis=0)
    assert arm(data, "classweight").positive_weight == pytest.approx(want)


def test_a_pathology_without_both_classes_keeps_its_weight():
    labels = np.array([[1, 0, 1, -1], [1, 0, 0, -1], [-1, -1, 0, -1]], np.int8)
    assert positive_weight(labels) == (1.0, 1.0, 2.0, 1.0)


@pytest.mark.parametrize(("epochs", "first"), [(2, 2), (4, 2), (10, 3)])
def test_pretrain_has_the_synthetic_share_of_the_epochs_first(
    data: Dataset, epochs: int, first: int
):
    made = arm(data, "pretrain", epochs=epochs)
    assert made.choose_from == first == 1 + max(1, round(epochs * 32 / 129))
    assert {made.order.count(number) for number in range(1, epochs + 1)} == {129}


def test_what_cannot_be_had_is_refused(data: Dataset):
    with pytest.raises(UsageError, match="pretrain needs two epochs"):
        arm(data, "pretrain", epochs=1)
    with pytest.raises(UsageError, match="No real training image is left"):
        arm(data, "gan", mix={"real": 0.001, "synthetic": 1})
    with pytest.raises(UsageError, match=r"gan needs synthetic images.*or --mix leaves none"):
        arm(data, "gan", mix={"real": 1, "synthetic": 0.001})
    with pytest.raises(UsageError, match="no arm 'mixup'"):
        arm(data, "mixup")
    with pytest.raises(UsageError, match="steps 'some'"):
        arm(data, "gan", steps="some")


def test_the_default_is_gan_where_there_are_synthetic_images(data: Dataset):
    assert default_arm(data.manifest) == "gan"
    real = tuple(s for s in data.manifest.shardlist if s.origin == "real")
    assert default_arm(replace(data.manifest, shardlist=real)) == "none"


def test_mix_is_read_and_nonsense_is_refused():
    assert parse_mix("real=1,synthetic=0.5") == {"real": 1, "synthetic": 0.5}
    assert parse_mix("synthetic=2") == {"real": 1, "synthetic": 2}
    for text in (
        "",
        "real",
        "real=x",
        "fake=1",
        "real=0",
        "real=-1",
        "real=nan",
        "real=inf",
        "real=1,real=2",
    ):
        with pytest.raises(UsageError, match="is no mix"):
            parse_mix(text)


def test_the_command_offers_these_arms():
    choices = {p.name: getattr(p.type, "choices", None) for p in main.commands["fit"].params}
    assert tuple(choices["arm"]) == ARMS
    assert tuple(choices["augment"]) == AUGMENTS
    assert tuple(choices["steps"]) == STEPS
