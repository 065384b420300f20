"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020), for grey images.

Real and generated images go through the same random changes, so the discriminator cannot learn a
small training set by heart. The changes are differentiable: the generator learns through them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def changes(count: int, side: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Strengths float [B, 2] in [0, 1) (brightness, contrast) and shifts int64 [B, 2] in pixels.

    Shifts (down, right) are at most an eighth of `side`.
    """
    max_shift = side // 8
    strengths = torch.rand(count, 2, generator=random)
    return strengths, torch.randint(-max_shift, max_shift + 1, (count, 2), generator=random)


def augment(images: Tensor, strengths: Tensor, shifts: Tensor) -> Tensor:
    """Images float [B, 1, R, R], each with its own change of brightness, contrast and position.

    Strengths and shifts as of `changes`, on the images' device: a copy here would wait for it.
    Brightness ± 0.5 (of a range of 2), contrast × 0.5–1.5 about the mean, translation by up to an
    eighth of the side with zeros moving in: the published strengths.
    """
    count, side = len(images), images.shape[-1]
    draws = strengths.to(images.dtype)
    images = images + (draws[:, 0] - 0.5)[:, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (draws[:, 1] + 0.5)[:, None, None, None] + mean
    margin = side // 8
    padded = F.pad(images, (margin, margin, margin, margin))
    pixels = torch.arange(side, device=images.device)
    rows = (pixels + margin + shifts[:, :1])[:, None, :, None]
    columns = (pixels + margin + shifts[:, 1:])[:, None, None, :]
    batch = torch.arange(count, device=images.device)[:, None, None, None]
    return padded[batch, 0, rows, columns]
