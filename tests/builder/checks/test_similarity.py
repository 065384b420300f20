from collections.abc import Callable

import numpy as np

from builder.checks.similarity import normal, thumbs
from builder.contract import Bytes


def test_a_product_of_normal_images_is_their_correlation(
    radiographs: Callable[[int, int], Bytes],
) -> None:
    images = radiographs(5, 0)
    rows = normal(images)
    expected = np.corrcoef(images.reshape(5, -1).astype(float))
    assert np.allclose(rows @ rows.T, expected, atol=1e-5)


def test_reductions_ignore_brightness_contrast_and_some_noise(
    radiographs: Callable[[int, int], Bytes], noisy: Callable[[Bytes, float], Bytes]
) -> None:
    images = radiographs(5, 0)
    small = thumbs(images)
    assert small.shape == (5, 256)
    assert ((small * thumbs(images // 2 + 60)).sum(axis=1) > 0.999).all()
    assert ((small * thumbs(noisy(images, 3))).sum(axis=1) > 0.99).all()


def test_a_constant_image_correlates_with_nothing() -> None:
    assert not normal(np.full((1, 4, 4), 9, np.uint8)).any()
