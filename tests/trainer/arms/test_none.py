from collections.abc import Callable

from trainer.arms import Arm
from trainer.stream.batches import Dataset

MakeArm = Callable[..., Arm]


def test_an_epoch_is_every_real_image_once_with_steps_of_its_own(
    data: Dataset, arm: MakeArm
) -> None:
    rows = arm("none", steps="own").order.epoch(1)
    assert sorted(rows) == data.rows("train", "real").tolist()


def test_equal_steps_go_on_with_a_second_lap(data: Dataset, arm: MakeArm) -> None:
    rows = arm("none").order.epoch(1)
    real = data.rows("train", "real")
    assert len(rows) == len(data.rows("train"))
    assert {*rows} == {*real}
