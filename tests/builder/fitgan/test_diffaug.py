"""The augmentation does what it says, and gradients go through it."""

import torch

from builder.fitgan.diffaug import augment, changes
from builder.fitgan.train import stream


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
