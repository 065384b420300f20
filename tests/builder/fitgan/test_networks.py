"""The parts of fit-gan as the papers state them; whole runs are in test_fitgan_run.py."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builder.contract import UsageError
from builder.fitgan.diffaug import augment, changes
from builder.fitgan.losses import gradient_penalty, r1_penalty
from builder.fitgan.networks import Discriminator, Generator
from builder.fitgan.settings import Settings
from builder.fitgan.train import stream
from builder.generators.pggan import PgganGenerator
from builder.render import check_generator

TINY = Settings(resolution=16, batch=8, latent_size=8, fmap_base=64, fmap_max=16)


@pytest.mark.parametrize("lod", [0.0, 0.5, 1.0])
def test_the_trained_network_is_the_one_that_renders(lod: float) -> None:
    network = Generator(TINY.design(("A", "B")), stream(0, 0, "g"))
    latents, labels = torch.randn(3, 8, generator=stream(0, 0, "z")), torch.eye(2)[[0, 1, 0]]
    with torch.inference_mode():
        own = ((network(latents, labels, lod)[:, 0] + 1) * 127.5).round().clamp(0, 255)
    tensors = {name: tensor.detach() for name, tensor in network.weights.items()}
    design = replace(network.design, lod=lod)
    images = PgganGenerator(design, tensors, torch.device("cpu"))(latents.numpy(), labels.numpy())
    assert np.abs(own.numpy() - images).max() <= 1


@pytest.mark.parametrize("conditioning", ["projection", "acgan"])
def test_the_discriminator_grows_smoothly(conditioning: str) -> None:
    critic = Discriminator(TINY.design(("A", "B")), conditioning, stream(0, 0, "d"))
    images = torch.randn(4, 1, 16, 16, generator=stream(0, 0, "x"))
    labels = torch.eye(2).repeat(2, 1)
    before, _ = critic(images, labels, 1.0)
    after, logits = critic(images, labels, 1.0 - 1e-4)
    assert torch.allclose(before, after, atol=1e-2)
    assert logits.shape == (4, 2 if conditioning == "acgan" else 0)


def test_penalties_are_the_gradients_they_name() -> None:
    slope = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)

    def critic(images: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (images * slope).sum(dim=(1, 2, 3)), images[:, 0, 0, :0]

    images, norm = torch.randn(3, 1, 4, 4, generator=stream(0, 0, "x")), slope.square().sum()
    assert float(r1_penalty(critic, images, images, 2.0)) == pytest.approx(float(norm))
    found = gradient_penalty(critic, images, -images, images, torch.full((3, 1, 1, 1), 0.3))
    assert float(found) == pytest.approx(float(10 * (norm.sqrt() - 1) ** 2), rel=1e-5)


def test_augmentation_is_what_it_says_and_differentiable() -> None:
    images = torch.randn(2, 1, 16, 16, generator=stream(0, 0, "x"), requires_grad=True)
    still = augment(images, torch.full((2, 2), 0.5), torch.zeros(2, 2, dtype=torch.int64))
    assert torch.allclose(still, images, atol=1e-6)
    moved = augment(images, torch.full((2, 2), 0.5), torch.tensor([[2, -1], [0, 0]]))
    assert torch.allclose(moved[0, 0, :14, 1:], images[0, 0, 2:, :15], atol=1e-6)
    assert not moved[0, 0, 14:].any()
    assert torch.allclose(moved[1], images[1], atol=1e-6)
    (gradient,) = torch.autograd.grad(moved.sum(), images)
    assert gradient.abs().sum() > 0
    strengths, shifts = changes(500, 16, stream(0, 0, "c"))
    assert (int(shifts.min()), int(shifts.max())) == (-2, 2)
    assert 0 <= float(strengths.min()) < 0.05 < 0.95 < float(strengths.max()) < 1


def test_a_label_never_seen_is_refused_as_a_target() -> None:
    network = Generator(TINY.design(("Mass", "Hernia")), stream(0, 0, "g"))
    network.unseen = ("Hernia",)
    network.resolution, network.labels = 16, ("Mass", "Hernia")
    check_generator(network, name="g", targets=["Mass"], image_size=16)
    with pytest.raises(UsageError, match="has never seen Hernia"):
        check_generator(network, name="g", targets=["Hernia"], image_size=16)
