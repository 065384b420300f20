"""Settings that are refused, the defaults that depend on others, and how a run grows."""

import math
from dataclasses import replace
from typing import Any

import pytest

from builder.contract import CheckError, UsageError
from builder.fitgan.settings import Settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 48}, "takes a power of two from 4 to 1024, got 48"),
        ({"loss": "hinge"}, "loss must be one of logistic-r1, wgan-gp, found 'hinge'"),
        ({"conditioning": "no"}, "conditioning must be one of projection, acgan, found 'no'"),
        ({"precision": "fp8"}, "precision must be one of auto, fp32, tf32, bf16, found 'fp8'"),
        ({"compile": True, "grow": True}, "--compile is for networks that do not change"),
        ({"kimg": 0}, "kimg must be positive"),
        ({"kimg": math.inf}, "kimg must be positive and finite, found inf"),
        ({"batch": 17}, "--batch takes an even number of images, .*, got 17: use 18"),
        ({"gamma": -1.0}, "gamma must not be negative"),
        ({"lr_decay": 1.5}, "--lr-decay is a share from 0 to 1, got 1.5"),
        ({"grow": True, "grow_from": 12}, "power of two from 4 to --resolution 16, got 12"),
        ({"grow": True, "grow_from": 32}, "power of two from 4 to --resolution 16, got 32"),
        ({"grow": True, "grow_kimg": -1.0}, "grow_kimg must not be negative"),
        ({"grow": True, "grow_kimg": 0.2}, "Growing takes 0.5 kimg and --kimg asks for 0.32"),
        ({"grow_from": 8}, "are for growing: add --grow"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_that_are_not_allowed(
    tiny: Settings, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        replace(tiny, **change)


def test_gamma_follows_from_resolution_and_batch() -> None:
    assert Settings().gamma == pytest.approx(0.0002 * 64**2 / 32)
    assert Settings(gamma=3.0).gamma == 3.0


def test_a_design_that_no_file_may_hold_is_refused_before_training(tiny: Settings) -> None:
    assert tiny.design(("Mass",)).maps == (16, 16, 8)
    with pytest.raises(CheckError, match="at latent_size"):
        replace(tiny, latent_size=1 << 17).design(("Mass",))


def test_growing_fades_every_resolution_in_by_the_half_of_the_run(tiny: Settings) -> None:
    settings = replace(tiny, resolution=64, kimg=160, grow=True)
    lods = [settings.lod_at(i) for i in range(settings.iterations)]
    assert lods[0] == 4
    assert lods == sorted(lods, reverse=True)
    assert all(lods[i] - lods[i + 1] < 0.01 for i in range(len(lods) - 1))
    assert not any(lods[len(lods) // 2 :])
    assert {1.0, 2.0, 3.0} <= set(lods)


def test_growing_begins_where_it_is_told_and_takes_its_own_time(tiny: Settings) -> None:
    settings = replace(tiny, resolution=64, kimg=160, grow=True, grow_from=16, grow_kimg=16.0)
    lods = [settings.lod_at(round(kimg * 1000 / settings.batch)) for kimg in range(161)]
    assert lods[:9] == [2.0] * 9  # half a stage
    assert lods[16] == 1.0
    assert lods[24] == 1.0
    assert 0 < lods[31] < lods[25] < 1
    assert not any(lods[32:])
    assert [replace(settings, kimg=500).lod_at(i) for i in (0, 700, 1700)] == [
        settings.lod_at(i) for i in (0, 700, 1700)
    ]


def test_the_learning_rate_falls_at_the_end_alone(tiny: Settings) -> None:
    assert {tiny.lr_at(i) for i in range(20)} == {tiny.lr}
    falling = replace(tiny, lr_decay=0.4)
    rates = [falling.lr_at(i) / tiny.lr for i in range(20)]
    assert rates[:13] == [1.0] * 13
    assert rates[16] == pytest.approx(0.5)
    assert rates[19] == pytest.approx(0.125)
