"""What the two networks minimise: WGAN-GP, or the logistic loss with R1; AC-GAN's label loss.

The generated images are the same in both steps of an iteration, so the generator runs once.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from builder.fitgan.settings import Loss

# images float [B, 1, R, R], labels float [B, L] → realness [B], label logits [B, L] or [B, 0]
Critic = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

R1_EVERY = 16  # iterations; the penalty is multiplied by as much (Karras et al. 2020)


def discriminator_loss(
    loss: Loss, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor], real_labels: Tensor
) -> Tensor:
    """The discriminator's loss without penalty, from its output for real and generated images.

    The label loss is that of real images alone (Han et al. 2019).
    """
    if loss == "wgan-gp":
        value = (fake[0] - real[0]).mean() + 0.001 * real[0].square().mean()
    else:
        value = F.softplus(fake[0]).mean() + F.softplus(-real[0]).mean()
    return value + label_loss(real[1], real_labels)


def generator_loss(loss: Loss, fake: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """The generator's loss with its label loss; the logistic loss is the non-saturating one."""
    value = -fake[0].mean() if loss == "wgan-gp" else F.softplus(-fake[0]).mean()
    return value + label_loss(fake[1], labels)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid cross-entropies, summed over labels, averaged over images; 0 without logits."""
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
    """10 · E(‖∇D‖ − 1)² between real and generated images (Gulrajani et al. 2017), in float32.

    mix: [B, 1, 1, 1] in [0, 1) on the images' device, the share of the generated image.
    """
    between = (real + (fake - real) * mix).detach().requires_grad_()
    realness, _ = critic(between, labels)
    (gradient,) = torch.autograd.grad(realness.sum(), between, create_graph=True)
    length = gradient.square().sum(dim=(1, 2, 3)).sqrt()
    return 10 * (length - 1).square().mean()
