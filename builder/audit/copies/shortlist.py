"""The training images that an image may be a copy of: those most alike in coarse cosine waves.

An image is described by the waves of its mean greys whose length is between 11 and 64 pixels, each
divided by its spread over the training images. The images that are asked about are shifted, zoomed
and mirrored; the training images are not, so that memory and time grow with their number alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, sparse

from builder.audit.blockwise import blockwise
from builder.audit.copies.geometry import SIDE, Floats, Reals, Rows, squared
from builder.contract import Bytes

COARSE = SIDE // 2  # pixels a side that waves are of
WAVES = (2.0, 11.4)  # half periods a side
MANY = 800  # images that are looked at in all views
FEW = 32  # of these, that are aligned
ROWS = 32  # images in a block

View = tuple[float, float, float]  # zoom; shift down and right, in pixels

_PLAIN: tuple[View, ...] = ((1.0, 0.0, 0.0),)
_FIRST: tuple[View, ...] = tuple(
    (zoom, down, right)
    for zoom in (1.0, 0.88)
    for down, right in ((0, 0), (2.5, 2.5), (-2.5, 2.5), (2.5, -2.5), (-2.5, -2.5))
)
_ALL: tuple[View, ...] = tuple(
    (zoom, down, right) for zoom in (0.9, 0.97, 1.05) for down in (-3, 0, 3) for right in (-3, 0, 3)
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Described:
    """N images by their waves."""

    waves: Floats  # [N, D], each of length 1
    spread: Floats  # [D]

    def candidates(
        self, images: Bytes, first: Sequence[View], before: int | None
    ) -> tuple[Rows, Reals]:
        """The FEW most alike of each image [n, 64, 64]: int64 [n, k], float64 [n, k, 2, 3].

        The latter map places in the image to places in the other, both from the middle. `first` are
        the views in which all N are looked at. Where `before` is the place of the first of the
        images among the N, only those before each are looked at; others have places below 0.
        """
        end = len(self.waves) if before is None else before + len(images)
        likeness = self._likeness(views_of(images, first, self.spread), end)
        if before is not None:
            places = np.arange(before, end)
            likeness[np.arange(end) >= places[:, None]] = -np.inf
        many = min(MANY, end)
        chosen = np.argpartition(likeness, -many, axis=1)[:, -many:]
        views = views_of(images, _ALL, self.spread)
        few = min(FEW, many)
        found = np.empty((len(images), few), np.int64)
        maps = np.empty((len(images), few, 2, 3))
        for i, rows in enumerate(chosen):
            alike = self.waves[rows] @ views[i].T
            best = alike.max(axis=1)
            top = np.lexsort((rows, -best))[:few]
            found[i], maps[i] = rows[top], _maps()[alike[top].argmax(axis=1)]
            if before is not None:
                found[i][found[i] >= before + i] = -1
        return found, maps

    def _likeness(self, views: Floats, end: int) -> Floats:
        """[n, end]: to the first of the N, in the view of each image that is most alike."""
        best = np.full((len(views), end), -np.inf, np.float32)
        product = np.empty_like(best)
        for view in range(views.shape[1]):
            np.matmul(views[:, view], self.waves[:end].T, out=product)
            np.maximum(best, product, out=best)
        return best


def describe(reduced: Bytes, spread: Floats | None = None) -> Described:
    """N images [N, H, W], with the spread of others' waves or of their own."""
    basis = _basis(_PLAIN)

    def one(rows: slice) -> Floats:
        return _coarse(squared(reduced[rows])) @ basis

    waves = np.concatenate([*blockwise(one, len(reduced))])
    if spread is None:
        spread = np.maximum(waves.std(axis=0, dtype=np.float64), 1e-3).astype(np.float32)
    waves /= spread
    waves /= _length(waves)
    return Described(waves=waves, spread=spread)


def views_of(images: Bytes, views: Sequence[View], spread: Floats) -> Floats:
    """float32 [n, 2 V, D]: waves of each view of images [n, 64, 64], and of the same mirrored."""
    waves = _coarse(images) @ _basis(tuple(views))
    waves = waves.reshape(len(images), len(views), -1) / spread
    waves /= _length(waves)
    both: Floats = np.stack([waves, waves * _mirror()], axis=2)
    return both.reshape(len(images), 2 * len(views), -1)


def first_views(plain: bool) -> Sequence[View]:
    """Those in which an image is compared with all others; plain: as it is, and mirrored."""
    return _PLAIN if plain else _FIRST


def _length(waves: Floats) -> Floats:
    length: Floats = np.sqrt(np.square(waves).sum(axis=-1, keepdims=True)) + np.float32(1e-6)
    return length


def _coarse(images: Bytes) -> Floats:
    """float32 [n, COARSE²]: mean greys of 2×2 pixels."""
    shape = (len(images), COARSE, 2, COARSE, 2)
    means: Floats = images.reshape(shape).mean(axis=(2, 4), dtype=np.float32)
    return means.reshape(len(images), -1)


@lru_cache(maxsize=1)
def _waves() -> tuple[Rows, Rows]:
    down, right = np.indices((COARSE, COARSE))
    length = np.hypot(down, right)
    found = np.nonzero((length >= WAVES[0]) & (length < WAVES[1]))
    return found[0], found[1]


@lru_cache(maxsize=1)
def _mirror() -> Floats:
    """[D] in {1, −1}: what becomes of a wave when its image is mirrored."""
    return (1 - 2 * (_waves()[1] % 2)).astype(np.float32)


@lru_cache(maxsize=4)
def _basis(views: tuple[View, ...]) -> Floats:
    """float32 [COARSE², V D]: times coarse images, the waves of each view of them."""
    down, right = _waves()
    single = np.zeros((len(down), COARSE, COARSE))
    single[np.arange(len(down)), down, right] = 1
    plain = fft.idctn(single, axes=(1, 2), norm="ortho").reshape(len(down), -1)
    parts = [_resampling(view).T @ plain.T for view in views]
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)


def _resampling(view: View) -> sparse.csr_array:
    """[COARSE², COARSE²]: times a coarse image, that image in a view (bilinear)."""
    zoom, *shift = view
    middle = (COARSE - 1) / 2
    places = np.indices((COARSE, COARSE)).reshape(2, -1) - middle
    shifts = np.array(shift)[:, None] * COARSE / SIDE
    places = np.clip((places - shifts) / zoom + middle, 0, COARSE - 1)
    corner = np.minimum(places.astype(np.int64), COARSE - 2)
    (down, right), (i, j) = places - corner, corner
    near = i * COARSE + j
    columns = np.concatenate([near, near + 1, near + COARSE, near + COARSE + 1])
    weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    rows = np.tile(np.arange(COARSE**2), 4)
    return sparse.csr_array((np.concatenate(weights), (rows, columns)), shape=(COARSE**2,) * 2)


@lru_cache(maxsize=1)
def _maps() -> Reals:
    """float64 [2 V, 2, 3]: where a place in the image is in the view, and in the mirrored one."""
    maps = []
    for zoom, down, right in _ALL:
        maps.append([[zoom, 0, down], [0, zoom, right]])
        maps.append([[zoom, 0, down], [0, -zoom, -right]])
    return np.array(maps)
