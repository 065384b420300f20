from collections.abc import Callable

import numpy as np
import pytest

from builder.audit.gradients import Gradients
from builder.contract import Bytes


def test_brightness_and_contrast_hardly_count(chests: Callable[[int, int], Bytes]) -> None:
    images = (chests(5, 1) // 4) * 2 + 40  # 40 to 166: no value is cut off
    gradients = Gradients()
    base = gradients(images)
    assert base.shape == (5, 512)
    assert base.dtype == np.float32
    assert gradients(images + 50) == pytest.approx(base, abs=1e-6)
    assert gradients(images // 2) == pytest.approx(base, abs=0.05)
    assert np.abs(gradients(images[:, ::-1]) - base).max() > 0.2


def test_an_edge_is_found_where_it_lies_and_in_its_direction() -> None:
    image = np.zeros((1, 64, 64), np.uint8)
    image[:, 20:] = 200  # brighter below: a gradient that points down
    found = Gradients()(image).reshape(8, 8, 8)
    assert (found[2, :, 2] > 1).all()
    found[2, :, 2] = 0
    assert (found == 0).all()


@pytest.mark.parametrize("shape", [(64, 64), (20, 30), (100, 80)])
def test_gradients_depend_on_the_image_alone(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(2).integers(0, 256, (40, *shape), dtype=np.uint8)
    images[0] = 3
    every = Gradients()(images)
    assert np.isfinite(every).all()
    assert (every == np.concatenate([Gradients()(image[None]) for image in images])).all()
