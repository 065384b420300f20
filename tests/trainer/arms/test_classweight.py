from collections.abc import Callable

import numpy as np
import pytest

from trainer.arms import Arm
from trainer.arms.classweight import positive_weight
from trainer.stream.batches import Dataset

MakeArm = Callable[..., Arm]


def test_positives_weigh_as_much_as_negatives(data: Dataset, arm: MakeArm) -> None:
    assert arm("none").positive_weight is None
    labels = data.index.labels[data.rows("train", "real")]
    want = (labels == 0).sum(axis=0) / (labels == 1).sum(axis=0)
    assert arm("classweight").positive_weight == pytest.approx(want)


def test_a_pathology_without_both_classes_keeps_its_weight() -> None:
    labels = np.array([[1, 0, 1, -1], [1, 0, 0, -1], [-1, -1, 0, -1]], np.int8)
    assert positive_weight(labels) == (1.0, 1.0, 2.0, 1.0)
