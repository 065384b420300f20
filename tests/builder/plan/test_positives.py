from collections.abc import Sequence

import numpy as np
import pytest

from builder.contract import Labels, UsageError
from builder.plan import check_positives

NAMES = ("Mass", "Hernia")


def part(*hernias: int) -> Labels:
    """Labels of images that all have Mass, and of these values for Hernia."""
    return np.array([(1, hernia) for hernia in hernias], dtype=np.int8).reshape(-1, 2)


def refusal(
    train: Sequence[int],
    rest: Sequence[int] = (),
    val: Sequence[int] = (),
    test: Sequence[int] = (),
) -> str:
    parts = {"train": part(*train), "rest": part(*rest), "val": part(*val), "test": part(*test)}
    with pytest.raises(UsageError) as caught:
        check_positives(NAMES, ["Mass", "Hernia"], parts)
    return str(caught.value).removeprefix(
        f"Hernia has no positive among the {len(train)} real images of this regime, and a target "
        "needs at least one: "
    )


def test_a_positive_in_train_is_enough() -> None:
    parts = {"train": part(0, 1), "rest": part(), "val": part(1), "test": part()}
    check_positives(NAMES, ["Mass", "Hernia"], parts)
    check_positives(NAMES, ["Mass"], {**parts, "train": part(0)})


def test_positives_elsewhere_are_counted_with_what_brings_them_into_train() -> None:
    assert refusal([0, 0], val=[1, 1, 0], test=[1]) == (
        "2 are in val and 1 in test, choose another --seed or --holdout."
    )
    assert refusal([0], rest=[1, 0, 1]) == ("2 are in the rest of train, choose a larger --regime.")
    assert refusal([0, -1, -1], rest=[-1]) == (
        "2 are unknown, --uncertain ones makes them positive."
    )
    assert refusal([-1], rest=[1], test=[1]).count(";") == 2


def test_a_pathology_that_nobody_has_is_said() -> None:
    assert refusal([0], [0], [0], [0]) == (
        "no image of the table has it, choose other targets by --target."
    )
