from collections.abc import Callable

import numpy as np
import pytest

from builder.audit.treatments import TREATMENTS
from builder.contract import Bytes


@pytest.mark.parametrize("name", [name for name in TREATMENTS if name != "none"])
@pytest.mark.parametrize("shape", [(64, 64), (17, 5), (1, 1)])
def test_a_treatment_changes_images_one_by_one(name: str, shape: tuple[int, int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, *shape), dtype=np.uint8)
    treat = TREATMENTS[name]
    assert treat is not None
    found = treat(images)
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    assert (found == np.concatenate([treat(image[None]) for image in images])).all()
    if shape != (1, 1):
        assert (found != images).any()


def test_coarse_greys_stay(chests: Callable[[int, int], Bytes]) -> None:
    images = chests(4, 2)
    for treat in filter(None, TREATMENTS.values()):
        coarse = [
            part.reshape(4, 2, 32, 2, 32).mean(axis=(2, 4)) for part in (images, treat(images))
        ]
        assert np.abs(coarse[0] - coarse[1]).max() < 4


def test_the_first_comparison_is_of_images_as_they_are() -> None:
    assert next(iter(TREATMENTS)) == "none"
    assert TREATMENTS["none"] is None
