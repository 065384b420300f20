"""The original of a copy is among the few that are looked at closely."""

from collections.abc import Callable

import numpy as np
import pytest

from builder.audit.copies.planted import plant
from builder.audit.copies.shortlist import FEW, describe, first_views, views_of
from builder.contract import Bytes


def smooth_fields(count: int) -> Bytes:
    """Random fields with the spectrum of photographs and radiographs, uint8 [count, 64, 64]."""
    noise = np.random.default_rng(0).normal(size=(count, 64, 64))
    across = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)) + 1 / 64
    fields = np.fft.irfft2(np.fft.rfft2(noise) / across**1.5)
    return (128 + 50 * fields / fields.std()).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["zoom by 1.1", "all of these with noise up to σ 10"])
def test_originals_are_candidates(kind: str) -> None:
    images = smooth_fields(400)
    copied = next(each for each in plant(images, 20, 0) if each.kind == kind)
    found, maps = describe(images).candidates(copied.images, first_views(plain=False), None)
    assert found.shape == (20, FEW)
    assert maps.shape == (20, FEW, 2, 3)
    assert (found == copied.rows[:, None]).any(axis=1).mean() >= 0.95


def test_only_earlier_ones_where_so_asked(chests: Callable[[int, int], Bytes]) -> None:
    images = chests(40, 2)
    found, _ = describe(images).candidates(images[10:20], first_views(plain=True), 10)
    assert (found < np.arange(10, 20)[:, None]).all()
    assert (found[0] >= 0).sum() == 10


def test_a_mirrored_image_has_the_mirrored_views(chests: Callable[[int, int], Bytes]) -> None:
    images = chests(3, 3)
    described = describe(images)
    assert np.allclose(np.linalg.norm(described.waves, axis=1), 1, atol=1e-4)
    views = views_of(images, first_views(plain=True), described.spread)
    mirrored = views_of(
        np.ascontiguousarray(images[:, :, ::-1]), first_views(plain=True), described.spread
    )
    assert np.allclose(views[:, 0], described.waves, atol=1e-4)
    assert np.allclose(views[:, 1], mirrored[:, 0], atol=1e-4)
