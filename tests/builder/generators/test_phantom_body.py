"""The healthy chest: every nuisance latent moves it, and it stays float32 under every sign."""

from collections.abc import Callable

import numpy as np
import pytest

from builder.generators.phantom import SIGNS, Phantom, Place
from builder.generators.phantom_body import NUISANCE, Film, noise_banks
from builder.render import Floats

Draw = Callable[..., Floats]


@pytest.mark.parametrize("number", range(len(NUISANCE)), ids=list(NUISANCE))
def test_every_nuisance_latent_moves_a_healthy_phantom(
    phantom: Phantom, label_rows: Draw, number: int
) -> None:
    latents = np.zeros((2, phantom.latent_size), np.float32)
    latents[:, number] = [-1.0, 1.0]
    low, high = phantom(latents, label_rows(2)).astype(np.int64)
    assert np.abs(high - low).max() >= 5


def test_healthy_phantoms_vary_and_sign_latents_do_not_touch_them(
    phantom: Phantom, draw_latents: Draw, label_rows: Draw
) -> None:
    latents = draw_latents(100)
    images = phantom(latents, label_rows(100))
    assert images.std(axis=0).mean() > 20
    latents[:, len(NUISANCE) :] = 0.0
    assert np.array_equal(phantom(latents, label_rows(100)), images)


def test_a_film_stays_float32_under_every_sign() -> None:
    axis = np.linspace(-1, 1, 64, dtype=np.float32)
    film = Film(axis, noise_banks(64), {name: sum(span) / 2 for name, span in NUISANCE.items()})
    for sign in SIGNS.values():
        sign(film, Place(1.0, 0.5, 0.5, 0.5))
    assert {plane.dtype for plane in (film.u, film.v, film.air, film.tissue)} == {np.dtype("f4")}
