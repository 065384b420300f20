"""The penalties as the papers state them."""

import pytest
import torch

from builder.fitgan.losses import gradient_penalty, r1_penalty
from builder.fitgan.train import stream


def test_penalties_are_the_gradients_they_name() -> None:
    slope = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)

    def critic(images: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (images * slope).sum(dim=(1, 2, 3)), images[:, 0, 0, :0]

    images, norm = torch.randn(3, 1, 4, 4, generator=stream(0, 0, "x")), slope.square().sum()
    assert float(r1_penalty(critic, images, images, 2.0)) == pytest.approx(float(norm))
    found = gradient_penalty(critic, images, -images, images, torch.full((3, 1, 1, 1), 0.3))
    assert float(found) == pytest.approx(float(10 * (norm.sqrt() - 1) ** 2), rel=1e-5)
