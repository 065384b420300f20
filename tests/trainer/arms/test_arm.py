from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from builder.contract import UsageError
from trainer.arms import NEED_SYNTHETIC, WEIGHTED, Arm, default_arm
from trainer.arms.arm import MAKERS
from trainer.cli import main
from trainer.recipe import ARMS, AUGMENTS, STEPS
from trainer.stream.batches import Dataset
from trainer.stream.order import Rows, cut

MakeArm = Callable[..., Arm]


def origins(data: Dataset, rows: Rows) -> Counter[str]:
    return Counter(data.index.origin[rows])


def test_each_arm_shows_what_its_name_says(data: Dataset, arm: MakeArm) -> None:
    shown = {name: [origins(data, arm(name).order.epoch(n)) for n in range(1, 5)] for name in ARMS}
    for name in ("none", "flip", "classweight", "oversample"):
        assert shown[name] == [{"real": 129}] * 4
    assert shown["gan"] == [{"real": 97, "synthetic": 32}] * 4
    assert shown["pretrain"] == [{"synthetic": 129}] + [{"real": 129}] * 3


def test_equal_steps_are_equal_and_own_ones_are_the_arms(arm: MakeArm) -> None:
    def steps(name: str, how: str) -> int:
        made = arm(name, steps=how)
        return sum(len(cut(len(made.order.epoch(n)), 16)) for n in range(1, 5))

    assert {steps(name, "equal") for name in ARMS} == {4 * 9}
    assert steps("none", "own") == 4 * 7
    assert steps("gan", "own") == steps("oversample", "own") == 4 * 9
    assert steps("pretrain", "own") == 2 + 3 * 7


def test_held_out_rows_are_never_shown(data: Dataset, arm: MakeArm) -> None:
    for name in ARMS:
        for epoch in range(1, 5):
            assert {*data.index.split[arm(name).order.epoch(epoch)]} == {"train"}


def test_the_default_is_gan_where_there_are_synthetic_images(data: Dataset) -> None:
    assert default_arm(data.manifest) == "gan"
    real = tuple(s for s in data.manifest.shardlist if s.origin == "real")
    assert default_arm(replace(data.manifest, shardlist=real)) == "none"


def test_the_command_offers_these_arms() -> None:
    choices = {p.name: getattr(p.type, "choices", None) for p in main.commands["fit"].params}
    assert tuple(choices["arm"]) == ARMS
    assert tuple(choices["augment"]) == AUGMENTS
    assert tuple(choices["steps"]) == STEPS


def test_every_arm_has_a_maker() -> None:
    assert tuple(MAKERS) == ARMS


@pytest.mark.parametrize("name", NEED_SYNTHETIC)
def test_an_arm_without_its_synthetic_images_is_refused(name: str, arm: MakeArm) -> None:
    with pytest.raises(UsageError, match=rf"{name} needs synthetic images.*or --mix leaves none"):
        arm(name, mix="real=1,synthetic=0.001")


@pytest.mark.parametrize("name", [name for name in ARMS if name not in WEIGHTED])
def test_a_weight_that_changes_nothing_is_refused(name: str, arm: MakeArm) -> None:
    with pytest.raises(UsageError, match=rf"weight 0\.5 changes nothing in --arm {name}, whose"):
        arm(name, synthetic_weight=0.5)
