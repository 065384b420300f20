"""The phantom as a generator: labels, sizes, the same bytes everywhere, refusals."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import UsageError
from builder.generators.phantom import Phantom, load
from builder.labels import CHEXPERT
from builder.render import Floats

Draw = Callable[..., Floats]

NIH_ONLY = (
    "Infiltration",
    "Mass",
    "Nodule",
    "Emphysema",
    "Fibrosis",
    "Pleural Thickening",
    "Hernia",
)


def test_labels_are_chexperts_in_order_then_nihs_own(phantom: Phantom) -> None:
    assert phantom.labels == (*CHEXPERT, *NIH_ONLY)


@pytest.mark.parametrize("size", [16, 64, 100, 224])
def test_images_are_grey_squares_of_the_asked_size(
    draw_latents: Draw, label_rows: Draw, size: int
) -> None:
    phantom = load("", size)
    images = phantom(draw_latents(2), label_rows(2, "Edema"))
    assert phantom.resolution == size
    assert images.shape == (2, size, size)
    assert images.dtype == np.uint8
    assert images.max() > 180
    assert images.min() < 60


def test_an_empty_batch_gives_no_images(
    phantom: Phantom, draw_latents: Draw, label_rows: Draw
) -> None:
    assert phantom(draw_latents(0), label_rows(0)).shape == (0, 64, 64)


def test_the_same_bytes_on_every_machine(phantom: Phantom) -> None:
    # Counted, not drawn: a stream of numpy's Generator may change with its version.
    count = np.arange(8 * phantom.latent_size).reshape(8, -1)
    latents = ((count * 7919 % 1000 - 500) / 200).astype(np.float32)
    labels = (latents[:, : len(phantom.labels)] > 0).astype(np.float32)
    digest = hashlib.sha256(load("", 64)(latents, labels).tobytes()).hexdigest()
    assert digest[:16] == "e95752916c5d821c"


def test_an_image_does_not_depend_on_its_batch(phantom: Phantom, draw_latents: Draw) -> None:
    latents = draw_latents(9)
    labels = (draw_latents(9, seed=1)[:, : len(phantom.labels)] > 0).astype(np.float32)
    together = phantom(latents, labels)
    order = np.array([4, 0, 8, 8, 2])
    assert np.array_equal(phantom(latents[order], labels[order]), together[order])
    for row, image in enumerate(together):
        assert np.array_equal(phantom(latents[row : row + 1], labels[row : row + 1])[0], image)


def test_a_label_counts_above_one_half_only(
    phantom: Phantom, draw_latents: Draw, label_rows: Draw
) -> None:
    latents, labels = draw_latents(5), label_rows(5)
    labels[:, phantom.labels.index("Mass")] = [0.5, -1.0, np.nan, 0.51, 1.0]
    shown = (phantom(latents, labels) != phantom(latents, label_rows(5))).any(axis=(1, 2))
    assert shown.tolist() == [False, False, False, True, True]


def test_wrong_input_is_refused_in_words(
    phantom: Phantom, draw_latents: Draw, label_rows: Draw
) -> None:
    with pytest.raises(ValueError, match=r"latents must be \[B, \d+\], got \[2, 7\]"):
        phantom(np.zeros((2, 7), np.float32), label_rows(2))
    with pytest.raises(ValueError, match=r"labels must be \[B, 21\], got \[21\]"):
        phantom(draw_latents(1), label_rows(1)[0])
    with pytest.raises(ValueError, match="got 2 and 3 rows"):
        phantom(draw_latents(2), label_rows(3))
    with pytest.raises(ValueError, match="finite"):
        phantom(draw_latents(1) * np.float32(np.nan), label_rows(1))


@pytest.mark.parametrize(("argument", "size"), [("pretty", 64), ("", 15), ("", 1025)])
def test_load_refuses_what_it_cannot_draw(argument: str, size: int) -> None:
    with pytest.raises(UsageError, match="The phantom"):
        load(argument, size)


def test_load_gives_a_phantom() -> None:
    assert isinstance(load("", 1024), Phantom)
