"""Generators whose pixels show what they were asked for."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from builder.contract import Bytes

Floats = npt.NDArray[np.float32]


class Fake:
    """Pixels that show the first latent and the labels, so that a mix-up is visible."""

    labels = ("Pleural Effusion", "Mass", "Gout")
    resolution = 8
    latent_size = 3

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        self.shapes.add(latents.shape)
        images = np.zeros((len(latents), 8, 8), dtype=np.uint8)
        images[:, 0, 0] = np.clip(128 + 30 * latents[:, 0], 1, 255)
        images[:, 1, :3] = 100 * labels
        return images


class OutOfMemoryError(RuntimeError):
    """Stands in for torch's, which is recognised by its name."""


class Limited(Fake):
    """A device with the memory for so many images at a time."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        if len(latents) > self.limit:
            raise OutOfMemoryError("out of memory")
        return super().__call__(latents, labels)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture(scope="session")
def limited() -> Callable[[int], Limited]:
    """A generator that runs out of memory above a number of images."""
    return Limited
