from collections.abc import Callable

import pytest

from builder.contract import UsageError
from trainer.arms import Arm

MakeArm = Callable[..., Arm]


@pytest.mark.parametrize(("epochs", "first"), [(2, 2), (4, 2), (10, 3)])
def test_pretrain_has_the_synthetic_share_of_the_epochs_first(
    epochs: int, first: int, arm: MakeArm
) -> None:
    made = arm("pretrain", epochs=epochs)
    assert made.choose_from == first == 1 + max(1, round(epochs * 32 / 129))
    assert {made.order.count(number) for number in range(1, epochs + 1)} == {129}


def test_a_single_epoch_is_refused(arm: MakeArm) -> None:
    with pytest.raises(UsageError, match="pretrain needs at least two epochs"):
        arm("pretrain", epochs=1)
