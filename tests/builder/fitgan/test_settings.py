"""Settings that are refused, the defaults that depend on others, and how a run grows."""

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
        ({"gamma": -1.0}, "gamma must not be negative"),
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
