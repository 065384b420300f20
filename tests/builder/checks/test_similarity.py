import hashlib
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from builder.checks.similarity import correlations, pixel_correlations, reductions, thumbs
from builder.contract import Bytes


def test_correlations_are_those_of_numpy(radiographs: Callable[[int, int], Bytes]) -> None:
    images = radiographs(5, 0)
    small = reductions(images)
    assert np.allclose(correlations(thumbs(small), thumbs(small)), np.corrcoef(small), atol=1e-12)
    expected = np.corrcoef(images.reshape(5, -1).astype(float))
    assert np.allclose(pixel_correlations(images, images[::-1]), np.diag(expected[::-1]))


def test_reductions_ignore_brightness_contrast_and_some_noise(
    radiographs: Callable[[int, int], Bytes], noisy: Callable[[Bytes, float], Bytes]
) -> None:
    images = radiographs(5, 0)
    small = thumbs(reductions(images))
    assert small.greys.shape == (5, 256)
    for other, least in ((images // 2 + 60, 0.999), (noisy(images, 3), 0.99)):
        assert (np.diag(correlations(small, thumbs(reductions(other)))) > least).all()


def test_a_constant_image_correlates_with_nothing(radiographs: Callable[[int, int], Bytes]) -> None:
    constant, others = np.full((2, 32, 32), 9, np.uint8), radiographs(2, 0)[:, :32, :32]
    assert not correlations(thumbs(reductions(constant)), thumbs(reductions(others))).any()
    assert not pixel_correlations(constant, others).any()


def test_no_bit_depends_on_how_many_are_compared_at_a_time() -> None:
    greys = np.random.default_rng(0).integers(0, 256, (300, 256)).astype(np.float32)
    all_of_them = thumbs(greys)
    together = correlations(all_of_them, all_of_them)
    for block in (1, 7, 64):
        for start in range(0, 300, block):
            rows = slice(start, start + block)
            assert np.array_equal(correlations(all_of_them[rows], all_of_them), together[rows])


PRINTS = """
import hashlib, numpy as np
from builder.checks.similarity import correlations, thumbs
greys = np.random.default_rng(0).integers(0, 256, (300, 256)).astype(np.float32)
print(hashlib.sha256(correlations(thumbs(greys), thumbs(greys[::-1])).tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "kernels", [{"OPENBLAS_CORETYPE": "Prescott"}, {"OPENBLAS_NUM_THREADS": "2"}]
)
def test_no_bit_depends_on_the_kernels_of_a_cpu(kernels: dict[str, str]) -> None:
    greys = np.random.default_rng(0).integers(0, 256, (300, 256)).astype(np.float32)
    here = correlations(thumbs(greys), thumbs(greys[::-1]))
    command, env = [sys.executable, "-c", PRINTS], {**os.environ, **kernels}
    there = subprocess.check_output(command, env=env, text=True).strip()
    assert there == hashlib.sha256(here.tobytes()).hexdigest()
