"""Phantoms that are wrong in a known way: shuffled labels, and a few images only."""

from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import UsageError
from builder.generators.phantom import Phantom, load
from builder.generators.phantom_flaws import FEW, FLAWS, NAMES
from builder.render import Floats

Draw = Callable[..., Floats]


def test_shuffled_labels_say_how_many_signs_there_are_but_not_which(
    phantom: Phantom, draw_latents: Draw
) -> None:
    latents = draw_latents(4000, seed=9)
    labels = np.zeros((4000, len(phantom.labels)), np.float32)
    labels[:, [4, 11]] = 1
    same, dealt = FLAWS["shuffled"](latents, labels)
    assert same is latents
    assert (dealt.sum(axis=1) == 2).all()
    assert np.abs(dealt[:, :NAMES].mean(axis=0) - 2 / NAMES).max() < 0.03
    assert not dealt[:, NAMES:].any()


def test_few_latents_make_few_images_with_the_right_signs(
    phantom: Phantom, draw_latents: Draw
) -> None:
    latents, labels = draw_latents(60, seed=9), np.zeros((60, len(phantom.labels)), np.float32)
    labels[:, 4] = 1
    fixed, same = FLAWS["few"](latents, labels)
    assert (same == labels).all()
    images = load("", 32, flaw="few")(latents, labels)
    assert len(np.unique(images, axis=0)) == FEW
    assert (images == load("", 32)(fixed, labels)).all()


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flawed_image_depends_on_its_own_row_alone(draw_latents: Draw, flaw: str) -> None:
    latents, phantom = draw_latents(6, seed=2), load("", 32, flaw=flaw)
    labels = (np.random.default_rng(1).random((6, len(phantom.labels))) < 0.3).astype(np.float32)
    alone = [phantom(latents[i : i + 1], labels[i : i + 1])[0] for i in range(6)]
    assert (phantom(latents, labels) == np.array(alone)).all()
    assert (phantom(latents, labels) != load("", 32)(latents, labels)).any()


def test_an_unknown_flaw_is_refused() -> None:
    with pytest.raises(UsageError, match=r"flaw is shuffled or few, got 'deep'"):
        load("", 32, flaw="deep")
