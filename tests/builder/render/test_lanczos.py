"""Many images resized at once: to the bit as Pillow resizes each."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.contract import Bytes
from builder.contract.radiograph import resize
from builder.render.lanczos import resize_block, resize_on_device, weights

SIDES = st.integers(1, 150)


def pictures(content: str, count: int, side: int, seed: int) -> Bytes:
    """Noise, extremes that make the filter overshoot, or one grey."""
    random = np.random.default_rng(seed)
    if content == "extremes":
        return random.choice(np.array([0, 255], np.uint8), (count, side, side))
    if content == "flat":
        return np.full((count, side, side), seed % 256, np.uint8)
    return random.integers(0, 256, (count, side, side), dtype=np.uint8)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    content=st.sampled_from(["noise", "extremes", "flat"]),
    count=st.integers(1, 9),
    side=SIDES,
    size=SIDES,
    seed=st.integers(0, 2**32 - 1),
)
def test_both_ways_give_the_bits_of_pillow(
    content: str, count: int, side: int, size: int, seed: int
) -> None:
    images = pictures(content, count, side, seed)
    expected = np.stack([resize(image, size) for image in images])
    assert np.array_equal(resize_block(images, size), expected)
    assert np.array_equal(resize_on_device(torch.from_numpy(images), size).numpy(), expected)


@pytest.mark.parametrize(("side", "size"), [(256, 224), (512, 224), (64, 1024), (1024, 16)])
def test_sizes_of_radiographs(side: int, size: int) -> None:
    images = pictures("noise", 5, side, 1)
    expected = np.stack([resize(image, size) for image in images])
    assert np.array_equal(resize_block(images, size), expected)
    assert np.array_equal(resize_on_device(torch.from_numpy(images), size).numpy(), expected)


def test_images_of_that_size_are_given_back() -> None:
    images = pictures("noise", 2, 16, 2)
    assert resize_block(images, 16) is images
    device = torch.from_numpy(images)
    assert resize_on_device(device, 16) is device


def test_weights_are_whole_numbers_that_add_to_about_one() -> None:
    found = weights(256, 224) * 2**22
    assert np.array_equal(found, np.rint(found))
    assert np.abs(found.sum(axis=1) - 2**22).max() <= 8  # each weight is rounded by itself
    assert (found != 0).sum(axis=1).max() == 7  # 3 pixels at 256/224 on both sides
