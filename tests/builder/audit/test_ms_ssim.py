from collections.abc import Callable

import numpy as np
import pytest
import torch

from builder.audit.ms_ssim import MIN_SIDE, ms_ssim, scales
from builder.contract import Bytes


def test_it_agrees_with_torchmetrics(chests: Callable[[int, int], Bytes]) -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    x, noise = chests(6, 0), chests(6, 1)
    y = (0.7 * x + 0.3 * noise).astype(np.uint8)
    y[0] = noise[0]
    weights = np.array([0.0448, 0.2856, 0.3001])
    other = multiscale_structural_similarity_index_measure(
        *(torch.from_numpy(part[:, None]).double() for part in (x, y)),
        gaussian_kernel=False,
        kernel_size=7,
        reduction="none",
        data_range=255.0,
        betas=tuple((weights / weights.sum()).tolist()),
        normalize="relu",
    )
    assert ms_ssim(scales(x), scales(y)) == pytest.approx(other.numpy(), rel=1e-4)


def test_one_scale_of_it_agrees_with_scikit_image(chests: Callable[[int, int], Bytes]) -> None:
    from skimage.metrics import structural_similarity

    from builder.audit.ms_ssim import _ssim

    x, y = chests(2, 0)
    _, other = structural_similarity(
        x, y, win_size=7, data_range=255, use_sample_covariance=False, full=True
    )
    whole, _ = _ssim(scales(x[None])[0], scales(y[None])[0])
    assert whole[0] == pytest.approx(other.mean(), rel=0.02)  # it mirrors edges differently


def test_equal_images_are_1_and_the_smallest_side_works(
    chests: Callable[[int, int], Bytes],
) -> None:
    x = chests(3, 0)[:, :MIN_SIDE, : MIN_SIDE + 1]
    assert ms_ssim(scales(x), scales(x)) == pytest.approx([1, 1, 1])
    assert (ms_ssim(scales(x), scales(255 - x)) < 0.2).all()
    flat = np.full_like(x, 9)
    assert ms_ssim(scales(flat), scales(flat)) == pytest.approx([1, 1, 1])
