"""The loop: every loss and conditioning trains, in either precision, and NaN ends it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from builder.contract import CheckError
from builder.fitgan.distributed import Ranks
from builder.fitgan.networks import Discriminator, GeneratorNetwork
from builder.fitgan.settings import Conditioning, Loss, Settings
from builder.fitgan.train import Networks, iterate, make_networks
from builder.fitgan.trial import noise
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
    out = tmp_path / "gan.safetensors"
    snapshot = out.with_suffix(".run") / "snapshot.pt"
    with pytest.raises(CheckError, match=r"not finite at .* kimg: .* another --seed\.$"):
        fit(out, replace(tiny, lr=1e30))
    assert not snapshot.exists()


def test_a_run_that_diverges_later_names_its_last_good_snapshot(
    fit: Fit, tmp_path: Path, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "gan.safetensors"
    snapshot = out.with_suffix(".run") / "snapshot.pt"
    judge = SimpleNamespace(isfinite=lambda _: not snapshot.exists())
    monkeypatch.setattr("builder.fitgan.train.math", judge)
    with pytest.raises(CheckError, match=r"--seed; .*snapshot\.pt holds the last good state\.$"):
        fit(out, tiny)
    assert snapshot.exists()


def test_records_come_one_iteration_late_and_none_is_lost(tiny: Settings) -> None:
    reals = noise(16, ("a", "b"), 64)
    networks = make_networks(tiny, reals.pathologies, torch.device("cpu"))
    seen = [
        (networks.iteration, round(record.kimg * 1000 / tiny.batch))
        for record in iterate(networks, reals, tiny, Ranks(), end=4)
    ]
    assert seen == [(2, 1), (3, 2), (4, 3), (4, 4)]


@pytest.mark.parametrize("conditioning", ["acgan", "projection"])
def test_convolutions_take_channels_last(
    tiny: Settings, conditioning: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one channel, or one pixel, every order is channels last."""
    first: list[tuple[int, ...]] = []

    def watched(name: str) -> Callable[..., torch.Tensor]:
        function = getattr(F, name)

        def convolve(x: torch.Tensor, kernel: torch.Tensor, *rest: Any, **how: Any) -> torch.Tensor:
            for tensor in (x, kernel):
                if not tensor.is_contiguous(memory_format=torch.channels_last):
                    first.append(tuple(tensor.shape))
            found: torch.Tensor = function(x, kernel, *rest, **how)
            return found

        return convolve

    for name in ("conv2d", "conv_transpose2d"):
        monkeypatch.setattr(F, name, watched(name))
    settings = replace(tiny, conditioning=conditioning)
    reals = noise(16, ("a", "b"), 64)
    networks = make_networks(settings, reals.pathologies, torch.device("cpu"))
    assert len([*iterate(networks, reals, settings, Ranks(), end=2)]) == 2
    assert not first


def test_bfloat16_is_for_products_and_every_weight_stays_float32(tiny: Settings) -> None:
    reals = noise(16, ("a", "b"), 64)
    found = {}
    for precision in ("fp32", "bf16"):
        settings = replace(tiny, precision=precision)
        networks = make_networks(settings, reals.pathologies, torch.device("cpu"))
        (found[precision],) = iterate(networks, reals, settings, Ranks(), end=1)
        assert {weight.dtype for weight in networks.generator.parameters()} == {torch.float32}
    one, other = (found[precision].losses for precision in ("fp32", "bf16"))
    assert one != other
    assert one.d_loss == pytest.approx(other.d_loss, rel=0.05)


@pytest.mark.parametrize("loss", ["wgan-gp", "logistic-r1"])
def test_only_what_is_differentiated_once_is_compiled(
    tiny: Settings, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[type] = []

    def compiled(network: torch.nn.Module) -> Callable[..., Any]:
        def call(*inputs: Any, **options: Any) -> Any:
            calls.append(type(network))
            return network(*inputs, **options)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    reals, found = noise(16, ("a", "b"), 64), []
    for settings in (replace(tiny, loss=loss), replace(tiny, loss=loss, compile=True)):
        networks = make_networks(settings, reals.pathologies, torch.device("cpu"))
        found.append([*iterate(networks, reals, settings, Ranks(), end=2)])
    assert found[0] == found[1]
    assert calls == [GeneratorNetwork, Discriminator, Discriminator, Discriminator] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_networks_learn_the_same(tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tracer of torch.compile; the kernels that it makes for a GPU need one."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    reals, found = noise(16, ("a", "b"), 64), []
    for settings in (tiny, replace(tiny, compile=True)):
        networks = make_networks(settings, reals.pathologies, torch.device("cpu"))
        *_, last = iterate(networks, reals, settings, Ranks(), end=3)
        found.append(last.losses)
    assert found[0].d_loss == pytest.approx(found[1].d_loss, rel=1e-3)
    assert found[0].g_loss == pytest.approx(found[1].g_loss, rel=1e-3)
