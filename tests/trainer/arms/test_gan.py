from collections.abc import Callable

import numpy as np

from trainer.arms import Arm
from trainer.stream.batches import Dataset

MakeArm = Callable[..., Arm]


def test_every_stretch_of_an_epoch_has_the_mix(data: Dataset, arm: MakeArm) -> None:
    rows = arm("gan").order.epoch(1)
    synthetic = (data.index.origin[rows] == "synthetic").cumsum()
    expected = np.arange(1, len(rows) + 1) * synthetic[-1] / len(rows)
    assert np.abs(synthetic - expected).max() <= 1.5


def test_steps_of_its_own_are_those_that_others_take(arm: MakeArm) -> None:
    own, equal = (arm("gan", steps=steps).order.digest for steps in ("own", "equal"))
    assert own == equal
