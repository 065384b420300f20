"""How like each image is to the training images that it may be a copy of, in three bands.

A band is what one Gaussian leaves and a wider one takes: fine structure tells images apart best,
coarse structure outlives noise and blur. The correlation in each is after alignment and over the
places that both images show, so that it does not change with brightness and contrast.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from builder.audit.blockwise import blockwise
from builder.audit.copies.align import Grid, align
from builder.audit.copies.geometry import (
    SIDE,
    Floats,
    Reals,
    Rows,
    sample,
    smooth,
    squared,
    standardised,
)
from builder.audit.copies.shortlist import ROWS, Described, describe, first_views
from builder.contract import Bytes
from builder.progress import Advance

BANDS = ((1, 2), (2, 4), (4, 8))  # sigmas of Gaussians, in pixels of 64 a side
ALIGNED = 3  # images of the shortlist, that are aligned finely and compared

_HALF = SIDE // 2
_COARSE = Grid(side=_HALF, stride=2, margin=3)  # wide: filtered borders mislead
_FINE = Grid(side=SIDE, stride=2, margin=2)
_COMPARED = {SIDE: Grid(side=SIDE, stride=1, margin=2), _HALF: Grid(side=_HALF, stride=1, margin=1)}
_SIDES = (SIDE, _HALF, _HALF)  # on which each band is compared


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """N images among which copies' originals are looked for."""

    reduced: Bytes  # [N, H, W]
    described: Described


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """For each of n images, the most similar ones."""

    rows: Rows  # [n, k]; below 0: none
    fisher_z: Floats  # [n, k, bands], atanh of correlations; −inf where there is none


def searched(reduced: Bytes) -> Searched:
    """Images uint8 [N, H, W] in which to search."""
    return Searched(reduced=reduced, described=describe(reduced))


def search(images: Bytes, among: Searched, advance: Advance) -> Found:
    """The most alike of `among`, in any view, for images uint8 [n, H, W]."""
    return _joined(_blocks(images, among, advance, repeats=False))


def search_repeats(among: Searched, advance: Advance) -> Found:
    """For each of these images the most alike earlier ones, as they are or mirrored."""
    return _joined(_blocks(among.reduced, among, advance, repeats=True))


def _blocks(images: Bytes, among: Searched, advance: Advance, repeats: bool) -> Iterator[Found]:
    views = first_views(plain=repeats)

    def one(rows: slice) -> Found:
        block = squared(np.asarray(images[rows]))
        before = rows.start if repeats else None
        found, maps = among.described.candidates(block, views, before)
        return _compared(block, among.reduced, found, maps)

    for found in blockwise(one, len(images), ROWS):
        advance(len(found.rows))
        yield found


def _joined(parts: Iterator[Found]) -> Found:
    found = [*parts]
    return Found(
        rows=np.concatenate([part.rows for part in found]),
        fisher_z=np.concatenate([part.fisher_z for part in found]),
    )


def _compared(images: Bytes, among: Bytes, found: Rows, maps: Reals) -> Found:
    """The most alike of the shortlist [n, k], after alignment."""
    queries = images.astype(np.float32)
    others, rows = _others(among, found)
    band = _band(queries, 2, 4, _HALF)
    alike, maps = align(band, _band(others, 2, 4, _HALF), rows, maps, _COARSE, steps=5)
    alike[found < 0] = -2
    best = np.argsort(-alike, axis=1, kind="stable")[:, :ALIGNED]
    found = np.take_along_axis(found, best, axis=1)
    maps = np.take_along_axis(maps, best[:, :, None, None], axis=1)
    others, rows = _others(among, found)
    band = _band(queries, 1, 4, SIDE)
    _, maps = align(band, _band(others, 1, 4, SIDE), rows, maps, _FINE, steps=4)
    result = np.stack(
        [
            _fisher_z(_band(queries, *band, side), _band(others, *band, side), rows, maps)
            for band, side in zip(BANDS, _SIDES, strict=True)
        ],
        axis=2,
    )
    result[found < 0] = -np.inf
    return Found(rows=found, fisher_z=result)


def _others(among: Bytes, found: Rows) -> tuple[Floats, Rows]:
    """The images that are named, once each, float32 [m, 64, 64]; and which each is [n, k]."""
    names, places = np.unique(np.maximum(found, 0), return_inverse=True)
    return squared(np.asarray(among[names])).astype(np.float32), places.reshape(found.shape)


def _band(images: Floats, fine: float, wide: float, side: int) -> Floats:
    return smooth(images, fine, side) - smooth(images, wide, side)


def _fisher_z(queries: Floats, others: Floats, rows: Rows, maps: Reals) -> Floats:
    """float32 [n, k]: Fisher's z, the atanh of the correlation over what both show."""
    grid = _COMPARED[queries.shape[1]]
    seen, inside = sample(others, rows.ravel(), maps.reshape(-1, 2, 3), grid.places)
    weights = inside.astype(np.float32)
    values = np.repeat(grid.of(queries), rows.shape[1], axis=0)
    product = (standardised(values, weights) * standardised(seen, weights)).sum(axis=1)
    limit = np.float32(0.9999)
    found: Floats = np.arctanh(np.clip(product, -limit, limit))
    return found.reshape(rows.shape)
