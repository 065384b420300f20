"""Sizes, smoothing and grey values between pixels."""

import numpy as np
import pytest
from scipy import ndimage

from builder.audit.copies.align import Grid
from builder.audit.copies.geometry import sample, smooth, squared, standardised


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8).astype(np.float32)


def test_other_sizes_are_resized() -> None:
    small = np.full((2, 28, 32), 7, np.uint8)
    assert squared(small).shape == (2, 64, 64)
    assert (squared(small) == 7).all()
    assert squared(small[:0]).shape == (0, 64, 64)


def test_smoothing_is_scipys(images: np.ndarray) -> None:
    expected = ndimage.gaussian_filter(images[0], 2, mode="nearest")
    assert np.allclose(smooth(images, 2)[0], expected, atol=0.01)
    halved = expected.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.allclose(smooth(images, 2, 32)[0], halved, atol=0.01)


@pytest.mark.parametrize("side", [64, 32])
def test_values_are_sampled_where_the_map_says(images: np.ndarray, side: int) -> None:
    images = smooth(images, 1, side)
    grid = Grid(side=side, stride=1, margin=4)
    scale = 64 // side
    moved = np.array([[[1, 0, 2 * scale], [0, -1, -scale]]], float)  # down 2, mirrored, right 1
    seen, inside = sample(images, np.array([1]), moved, grid.places)
    expected = np.roll(images[1:2, :, ::-1], (-2, -1), axis=(1, 2))
    assert np.allclose(seen, grid.of(expected), atol=0.01)
    assert inside.all()
    far = np.array([[[1, 0, 30], [0, 1, 0]]], float)
    assert 0.3 < sample(images, np.array([1]), far, grid.places)[1].mean() < 0.6


def test_rows_have_no_mean_and_length_one() -> None:
    values = np.array([[1, 2, 3, 100], [5, 5, 5, 5]], np.float32)
    rows = standardised(values, np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.float32))
    assert np.allclose(rows[0], [-(0.5**0.5), 0, 0.5**0.5, 0], atol=1e-5)
    assert np.allclose(rows[1], 0)
