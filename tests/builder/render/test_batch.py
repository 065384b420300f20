from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import Bytes, CheckError
from builder.render import BATCH, GPU_BATCH, Floats, Generator, best_batch, default_batch
from builder.render.batch import recorded_batch


class Timed:
    """A generator that takes given seconds for a batch, on a clock of its own."""

    device = "cuda"

    def __init__(self, generator: Generator, seconds: Callable[[int], float]) -> None:
        self.generator, self.seconds, self.now = generator, seconds, 0.0
        self.labels, self.resolution = generator.labels, generator.resolution
        self.latent_size, self.calls = generator.latent_size, 0
        self.first = 0.0  # seconds more that the first call takes

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        self.now += self.seconds(len(latents)) + (0.0 if self.calls else self.first)
        self.calls += 1
        return self.generator(latents, labels)

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (lambda _: 1.0, 1024),  # the same time for any batch: the largest
        (lambda size: size / 64, 128),  # no gain: the default
        (lambda size: 1.0 if size <= 256 else 4.0, 256),
        (lambda size: 0.03 * size, 128),  # too slow to try more
    ],
)
def test_the_best_batch_is_the_one_of_the_most_images_a_second(
    fake: Generator, seconds: Callable[[int], float], expected: int
) -> None:
    timed = Timed(fake, seconds)
    assert best_batch(timed, timed.clock) == expected


def test_the_first_call_is_not_timed(fake: Generator) -> None:
    """It loads kernels: seconds of it say nothing of the next."""
    timed = Timed(fake, lambda _: 1.0)
    timed.first = 20.0
    assert best_batch(timed, timed.clock) == 1024


@pytest.mark.parametrize("limit", [1, 3, 100, 128, 300])
def test_the_best_batch_fits(limited: Callable[[int], Generator], limit: int) -> None:
    """From the default downwards, or upwards, in powers of two."""
    timed = Timed(limited(limit), lambda _: 1.0)
    assert best_batch(timed, timed.clock) == 1 << (limit.bit_length() - 1)


def test_no_memory_for_one_image_is_said(limited: Callable[[int], Generator]) -> None:
    with pytest.raises(CheckError, match="not enough memory for a single image"):
        best_batch(limited(0))


def test_another_failure_is_not_taken_for_a_lack_of_memory(fake: Generator) -> None:
    def broken(_: int) -> float:
        raise RuntimeError("a bug")

    timed = Timed(fake, broken)
    with pytest.raises(CheckError, match=r"cannot make images: it raised RuntimeError .*\(a bug\)"):
        best_batch(timed, timed.clock)
    assert np.isclose(timed.now, 0)


def test_the_default_is_a_number_and_noted_where_pixels_depend_on_it(fake: Generator) -> None:
    assert (default_batch(fake), recorded_batch(fake, 7), recorded_batch(fake, None)) == (
        BATCH,
        None,
        None,
    )
    on_gpu = Timed(fake, lambda _: 1.0)
    assert default_batch(on_gpu) == recorded_batch(on_gpu, None) == GPU_BATCH
    assert recorded_batch(on_gpu, 7) == 7
    assert on_gpu.calls == 0
