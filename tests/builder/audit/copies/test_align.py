"""Shift, zoom and rotation are found, whatever contrast and brightness."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from builder.audit.copies.align import Grid, align
from builder.audit.copies.geometry import smooth
from builder.contract import Bytes

FINE = Grid(side=64, stride=2, margin=6)


def test_the_map_is_found(chests: Callable[[int, int], Bytes]) -> None:
    images = smooth(chests(2, 0).astype(np.float32), 2)
    angle = np.deg2rad(2.0)
    turn = 1.03 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([1.2, -0.8])
    offset = 31.5 - turn @ np.array([31.5, 31.5]) + shift
    image = ndimage.affine_transform(images[1], turn, offset, order=3, mode="nearest")
    start = np.tile(np.array([[1.0, 0, 0], [0, 1.0, 0]]), (1, 2, 1, 1))
    query = 0.7 * image[None] + 9
    alike, maps = align(query, images, np.array([[0, 1]]), start, FINE, steps=8)
    assert alike[0, 1] > 0.995 > 0.8 > alike[0, 0]
    assert np.allclose(maps[0, 1, :, :2], turn, atol=0.005)
    assert np.allclose(maps[0, 1, :, 2], shift, atol=0.1)


def test_without_structure_nothing_is_alike() -> None:
    flat = np.full((2, 64, 64), 3, np.float32)
    start = np.tile(np.array([[1.0, 0, 0], [0, 1.0, 0]]), (2, 1, 1, 1))
    alike, maps = align(flat, flat, np.array([[0], [1]]), start, FINE, steps=3)
    assert np.allclose(alike, 0)
    assert np.isfinite(maps).all()
