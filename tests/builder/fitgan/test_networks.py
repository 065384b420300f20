"""The two networks as the papers state them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builder.contract import UsageError
from builder.fitgan.networks import Discriminator, GeneratorNetwork, pixel_norm
from builder.fitgan.settings import Conditioning, Settings
from builder.fitgan.train import stream
from builder.generators.pggan import PgganGenerator
from builder.render import check_generator

SMALL = Settings(resolution=16, batch=8, latent_size=8, fmap_base=64, fmap_max=16)


@pytest.mark.parametrize("lod", [0.0, 0.5, 1.0])
def test_the_trained_network_is_the_one_that_renders(lod: float) -> None:
    network = GeneratorNetwork(SMALL.design(("A", "B")), stream(0, 0, "g"))
    latents, labels = torch.randn(3, 8, generator=stream(0, 0, "z")), torch.eye(2)[[0, 1, 0]]
    with torch.inference_mode():
        own = ((network(latents, labels, lod)[:, 0] + 1) * 127.5).round().clamp(0, 255)
    tensors = {name: tensor.detach() for name, tensor in network.weights.items()}
    design = replace(network.design, lod=lod)
    images = PgganGenerator(design, tensors, torch.device("cpu"))(latents.numpy(), labels.numpy())
    assert np.abs(own.numpy() - images).max() <= 1


@pytest.mark.parametrize("conditioning", ["projection", "acgan"])
def test_the_discriminator_grows_smoothly(conditioning: Conditioning) -> None:
    critic = Discriminator(SMALL.design(("A", "B")), conditioning, stream(0, 0, "d"))
    images = torch.randn(4, 1, 16, 16, generator=stream(0, 0, "x"))
    labels = torch.eye(2).repeat(2, 1)
    before, _ = critic(images, labels, 1.0)
    after, logits = critic(images, labels, 1.0 - 1e-4)
    assert torch.allclose(before, after, atol=1e-2)
    assert logits.shape == (4, 2 if conditioning == "acgan" else 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_pixel_norm_has_the_gradient_of_its_formula(dtype: torch.dtype, tolerance: float) -> None:
    random = stream(0, 0, "x")
    x, gradient = (torch.randn(2, 8, 3, 3, generator=random).to(dtype) for _ in range(2))
    exact = x.double().requires_grad_()
    wanted = exact / (exact.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    normed = pixel_norm(x.requires_grad_())
    assert normed.dtype == dtype
    found, right = (
        torch.autograd.grad(y, of, gradient.to(y.dtype))[0]
        for y, of in ((normed, x), (wanted, exact))
    )
    for one, other in ((normed, wanted), (found, right)):
        torch.testing.assert_close(one.double(), other, rtol=tolerance, atol=tolerance)


def test_a_label_never_seen_is_refused_as_a_target() -> None:
    design = replace(SMALL.design(("Mass", "Hernia")), unseen=("Hernia",))
    network = GeneratorNetwork(design, stream(0, 0, "g"))
    tensors = {name: tensor.detach() for name, tensor in network.weights.items()}
    generator = PgganGenerator(design, tensors, torch.device("cpu"))
    check_generator(generator, name="g", targets=["Mass"], image_size=16)
    with pytest.raises(UsageError, match="has never seen Hernia"):
        check_generator(generator, name="g", targets=["Hernia"], image_size=16)
