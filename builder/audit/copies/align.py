"""Where an image lies in another one: shift, zoom and rotation, to a fraction of a pixel.

Lucas and Kanade's method in its inverse compositional form (Baker and Matthews 2004) with mean and
contrast left free: what is computed of the image serves for all that it is compared with.
"""

from dataclasses import dataclass

import numpy as np

from builder.audit.copies.geometry import SIDE, Floats, Reals, Rows, sample, standardised

_STEP = 3.0  # pixels, at most, by which one step moves a place
_INSIDE = 0.6  # of the places that must lie inside the other image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Places of an image of `side` pixels, every `stride`-th but for a margin."""

    side: int
    stride: int
    margin: int

    def of(self, images: Floats) -> Floats:
        """[n, places]: grey values there."""
        cut = slice(self.margin, self.side - self.margin, self.stride)
        return images[:, cut, cut].reshape(len(images), -1)

    @property
    def places(self) -> Floats:
        """float32 [2, places]: down and right of the middle, in pixels of 64 a side."""
        pixels = np.arange(self.margin, self.side - self.margin, self.stride)
        line = (pixels - (self.side - 1) / 2) * (SIDE / self.side)
        down, right = np.meshgrid(line, line, indexing="ij")
        return np.stack([down.ravel(), right.ravel()]).astype(np.float32)


def align(
    images: Floats, others: Floats, rows: Rows, maps: Reals, grid: Grid, steps: int
) -> tuple[Floats, Reals]:
    """Correlations [n, k] and maps [n, k, 2, 3], the best of each pair on its way from `maps`.

    `images` [n, S, S] and `others` [N, S, S] are filtered alike; `rows` [n, k] of the others.
    """
    count, few = rows.shape
    places = grid.places
    slopes = _slopes(images, grid, places)
    solve = np.linalg.inv(_curvature(slopes))
    values = np.repeat(grid.of(images), few, axis=0)
    flat, maps = rows.ravel(), maps.reshape(-1, 2, 3)
    best, found = np.full(len(flat), -1, np.float32), maps.copy()
    for step in range(steps + 1):
        seen, inside = sample(others, flat, maps, places)
        weights = inside.astype(np.float32)
        one, two = standardised(values, weights), standardised(seen, weights)
        alike = (one * two).sum(axis=1)
        better = (alike > best) & (inside.mean(axis=1) >= _INSIDE)
        best[better], found[better] = alike[better], maps[better]
        if step == steps:
            break
        contrast = (values * one).sum(axis=1, keepdims=True)  # as one has length 1
        error = ((two - one) * contrast).reshape(count, few, -1)
        gain = (error @ slopes.transpose(0, 2, 1)).astype(np.float64)
        maps = _moved(maps, (gain @ solve).reshape(-1, 4))
    return best.reshape(count, few), found.reshape(count, few, 2, 3)


def _slopes(images: Floats, grid: Grid, places: Floats) -> Floats:
    """float32 [n, 4, places]: change of grey with zoom, rotation (× 32 pixels) and shifts."""
    scale = np.float32(grid.side / SIDE)
    down = grid.of(np.gradient(images, axis=1)) * scale
    right = grid.of(np.gradient(images, axis=2)) * scale
    far = places / np.float32(SIDE / 2)
    slopes = np.stack(
        [down * far[0] + right * far[1], right * far[0] - down * far[1], down, right], axis=1
    )
    centred: Floats = slopes - slopes.mean(axis=-1, keepdims=True)
    return centred


def _curvature(slopes: Floats) -> Reals:
    """float64 [n, 4, 4], a little of its trace added, so that it can be inverted."""
    products: Reals = (slopes @ slopes.transpose(0, 2, 1)).astype(np.float64)
    trace = np.trace(products, axis1=1, axis2=2)[:, None, None]
    products += np.eye(4) * (2.5e-4 * trace + 1e-6)
    return products


def _moved(maps: Reals, step: Reals) -> Reals:
    """Maps [P, 2, 3] after the inverse of a small move: zoom, rotation, down, right [P, 4]."""
    step = np.clip(step, -_STEP, _STEP)
    zoom, turn = 1 + step[:, 0] / (SIDE / 2), step[:, 1] / (SIDE / 2)
    move = np.stack([np.stack([zoom, -turn], 1), np.stack([turn, zoom], 1)], axis=1)
    back = np.linalg.inv(move)
    linear = np.einsum("pij,pjk->pik", maps[:, :, :2], back)
    shift = maps[:, :, 2] - np.einsum("pij,pj->pi", linear, step[:, 2:])
    return np.concatenate([linear, shift[:, :, None]], axis=2)
