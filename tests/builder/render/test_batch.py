from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import Bytes
from builder.render import Floats, Generator, best_batch


class Timed:
    """A generator that takes given seconds for a batch, on a clock of its own."""

    def __init__(self, generator: Generator, seconds: Callable[[int], float]) -> None:
        self.generator, self.seconds, self.now = generator, seconds, 0.0
        self.labels, self.resolution = generator.labels, generator.resolution
        self.latent_size = generator.latent_size

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        self.now += self.seconds(len(latents))
        return self.generator(latents, labels)

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (lambda _: 1.0, 1024),  # the same time for any batch: the largest
        (lambda size: size / 64, 64),  # no gain: the smallest
        (lambda size: 1.0 if size <= 256 else 4.0, 256),
    ],
)
def test_the_best_batch_is_the_one_of_the_most_images_a_second(
    fake: Generator, seconds: Callable[[int], float], expected: int
) -> None:
    timed = Timed(fake, seconds)
    assert best_batch(timed, timed.clock) == expected


def test_the_best_batch_fits(limited: Callable[[int], Generator]) -> None:
    timed = Timed(limited(128), lambda _: 1.0)
    assert best_batch(timed, timed.clock) == 128


def test_another_failure_is_not_taken_for_a_lack_of_memory(fake: Generator) -> None:
    def broken(_: int) -> float:
        raise RuntimeError("a bug")

    timed = Timed(fake, broken)
    with pytest.raises(RuntimeError, match="a bug"):
        best_batch(timed, timed.clock)
    assert np.isclose(timed.now, 0)
