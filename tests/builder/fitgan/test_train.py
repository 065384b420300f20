"""The loop: every loss and conditioning trains, and losses that are not finite end it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import CheckError
from builder.fitgan.settings import Conditioning, Loss, Settings
from builder.fitgan.train import Networks
from builder.generators.pggan import load

Fit = Callable[..., Networks]


@pytest.mark.parametrize("loss", ["wgan-gp", "logistic-r1"])
@pytest.mark.parametrize("conditioning", ["acgan", "projection"])
def test_every_loss_and_conditioning_trains_while_growing(
    fit: Fit, tmp_path: Path, tiny: Settings, loss: Loss, conditioning: Conditioning
) -> None:
    settings = replace(tiny, loss=loss, conditioning=conditioning, grow=True, diffaug=False)
    networks = fit(tmp_path / "gan.safetensors", settings)
    assert [row.lod for row in networks.history] == [1, 0, 0, 0]
    load(str(tmp_path / "gan.safetensors"), 16)


def test_losses_that_are_not_finite_stop_the_run(fit: Fit, tmp_path: Path, tiny: Settings) -> None:
    with pytest.raises(CheckError, match=r"not finite at .* kimg: the last good snapshot is kept"):
        fit(tmp_path / "gan.safetensors", replace(tiny, lr=1e30))
