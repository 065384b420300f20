from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import UsageError
from trainer.arms import Arm, parse_mix
from trainer.stream.batches import Dataset
from trainer.stream.order import Rows, coverage

MakeArm = Callable[..., Arm]


def origins(data: Dataset, rows: Rows) -> Counter[str]:
    return Counter(data.index.origin[rows])


def test_mix_weighs_the_origins_exactly_and_without_repeats_inside_a_pass(
    data: Dataset, arm: MakeArm
) -> None:
    order = arm("gan", mix="real=1,synthetic=0.5").order
    first, second = order.epoch(1), order.epoch(2)
    assert origins(data, first) == origins(data, second) == {"real": 97, "synthetic": 16}
    synthetic = np.concatenate([first, second])
    synthetic = synthetic[data.index.origin[synthetic] == "synthetic"]
    assert sorted(synthetic) == data.rows("train", "synthetic").tolist()
    twice = arm("gan", mix="real=2,synthetic=1").order.epoch(1)
    assert (coverage(twice, len(data.index))[data.rows("train", "real")] == 2).all()


def test_mix_is_read_and_nonsense_is_refused() -> None:
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


def test_a_mix_without_real_images_is_refused(arm: MakeArm) -> None:
    with pytest.raises(UsageError, match="leaves no real training image"):
        arm("gan", mix="real=0.001,synthetic=1")


def test_the_augmentation_is_the_recipes(arm: MakeArm) -> None:
    assert arm("gan").augment == "none"
    assert arm("gan", augment="flip").augment == "flip"


def test_the_weight_is_of_the_synthetic_places_alone(data: Dataset, arm: MakeArm) -> None:
    assert arm("gan").weights(1) is None
    gan, copies = (arm(name, synthetic_weight=0.5) for name in ("gan", "oversample"))
    for epoch in (1, 2):
        found = gan.weights(epoch)
        assert found is not None
        synthetic = data.index.origin[gan.order.epoch(epoch)] == "synthetic"
        assert found.tolist() == np.where(synthetic, 0.5, 1).tolist()
        assert np.array_equal(copies.weights(epoch), found)  # what stands in has that weight, too
