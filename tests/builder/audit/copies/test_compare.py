"""Copies are far more alike than other images, in at least one band."""

from collections.abc import Callable

import numpy as np

from builder.audit.copies.compare import ALIGNED, BANDS, search, search_repeats, searched
from builder.contract import Bytes

Chests = Callable[[int, int], Bytes]


def test_a_copy_is_like_its_original(chests: Chests) -> None:
    images = chests(150, 0)
    copies = np.roll(images[[140, 3]], 2, axis=2)[:, :, ::-1]
    done: list[int] = []
    found = search(np.concatenate([copies, chests(70, 1)]), searched(images), done.append)
    assert done == [32, 32, 8]
    assert found.rows.shape == (72, ALIGNED)
    assert found.fisher_z.shape == (72, ALIGNED, len(BANDS))
    assert found.rows[:2, 0].tolist() == [140, 3]
    assert (found.fisher_z[:2, 0] > 1.5).all()
    assert found.fisher_z[2:].max() < 1.5


def test_repeats_are_of_earlier_images(chests: Chests) -> None:
    images = chests(80, 2)
    images[70] = images[5]
    images[1] = images[0, :, ::-1]
    found = search_repeats(searched(images), lambda _: None)
    assert (found.rows < np.arange(80)[:, None]).all()
    assert found.rows[70, 0] == 5
    assert found.rows[1, 0] == 0
    assert np.isneginf(found.fisher_z[0]).all()
    assert (found.fisher_z[[1, 70], 0] > 3).all()


def test_small_and_few_images(chests: Chests) -> None:
    small = chests(2, 3)[:, ::2, ::2]
    found = search(small, searched(small), lambda _: None)
    assert found.rows[:, 0].tolist() == [0, 1]
    assert np.isneginf(search_repeats(searched(small[:1]), lambda _: None).fisher_z).all()
