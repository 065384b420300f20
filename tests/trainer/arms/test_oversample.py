from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from builder.contract import CheckError
from trainer.arms import Arm
from trainer.arms.oversample import twins
from trainer.stream.batches import Dataset
from trainer.stream.order import Rows

MakeArm = Callable[..., Arm]


def vectors(data: Dataset, rows: Rows) -> Counter[bytes]:
    return Counter(data.index.labels[row].tobytes() for row in rows)


@pytest.mark.parametrize(
    "mix", ["real=1,synthetic=1", "real=1,synthetic=0.5", "real=2,synthetic=3"]
)
def test_oversample_shows_the_label_vectors_of_gan_in_the_same_places(
    data: Dataset, mix: str, arm: MakeArm
) -> None:
    gan, over = (arm(name, mix=mix).order for name in ("gan", "oversample"))
    for epoch in (1, 2, 3):
        a, b = gan.epoch(epoch), over.epoch(epoch)
        assert np.array_equal(data.index.labels[a], data.index.labels[b])
        real = data.index.origin[a] == "real"
        assert np.array_equal(a[real], b[real])
        assert (data.index.origin[b] == "real").all()


def test_twins_serve_in_turn(data: Dataset) -> None:
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


def test_labels_without_a_real_twin_are_refused(data: Dataset) -> None:
    labels = data.index.labels.copy()
    labels[data.rows("train", "real")] = 0
    labels[data.rows("train", "synthetic")[-1]] = 1
    with pytest.raises(CheckError, match="labels that no real training image has"):
        twins(replace(data, index=replace(data.index, labels=labels)), seed=0)
