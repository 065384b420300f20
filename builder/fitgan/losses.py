"""What the two networks minimise: WGAN-GP, or the logistic loss with R1; AC-GAN's label loss.

The fakes are the same in both steps of an iteration, so one pass of the generator serves both.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[
    [Tensor, Tensor], tuple[Tensor, Tensor]
]  # images, labels → realness, label logits

R1_EVERY = 16  # iterations; the penalty is that much larger (Karras et al. 2020)


def discriminator_loss(
    loss: str, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor], real_labels: Tensor
) -> Tensor:
    """The discriminator's loss without penalty; label loss on reals only (Han et al. 2019)."""
    if loss == "wgan-gp":
        value = (fake[0] - real[0]).mean() + 0.001 * real[0].square().mean()
    else:
        value = F.softplus(fake[0]).mean() + F.softplus(-real[0]).mean()
    return value + label_loss(real[1], real_labels)


def generator_loss(loss: str, fake: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """The generator's loss, non-saturating where logistic, and its label loss."""
    value = -fake[0].mean() if loss == "wgan-gp" else F.softplus(-fake[0]).mean()
    return value + label_loss(fake[1], labels)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid cross-entropies summed over the labels, mean over images; 0 without logits."""
    if not logits.shape[1]:
        return logits.sum()
    total = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return total / len(labels)


def r1_penalty(critic: Critic, images: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """γ/2 · E‖∇D(real)‖² (Mescheder et al. 2018), in float32."""
    images = images.detach().requires_grad_()
    realness, _ = critic(images, labels)
    (gradient,) = torch.autograd.grad(realness.sum(), images, create_graph=True)
    return 0.5 * gamma * gradient.square().sum(dim=(1, 2, 3)).mean()


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, labels: Tensor, mix: Tensor
) -> Tensor:
    """10 · E(‖∇D‖ − 1)² between reals and fakes (Gulrajani et al. 2017), in float32.

    mix: [B, 1, 1, 1] in [0, 1), the share of the fake.
    """
    between = (real + (fake - real) * mix.to(real.device)).detach().requires_grad_()
    realness, _ = critic(between, labels)
    (gradient,) = torch.autograd.grad(realness.sum(), between, create_graph=True)
    length = gradient.square().sum(dim=(1, 2, 3)).sqrt()
    return 10 * (length - 1).square().mean()
