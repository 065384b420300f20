"""Copies of training images, altered in known ways: what the detector finds of them is its power.

Shifts are in pixels of 64 a side, greys go from 0 to 255. The claims are for images such as those
that were copied: each audit plants copies of its own training images.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from builder.audit.copies.geometry import SIDE, Floats, Reals, Rows, squared
from builder.contract import Bytes


class Chance:
    """Random numbers that are the same in every version of numpy: Philox's raw words."""

    def __init__(self, seed: int, name: str) -> None:
        """Of a stream of its own for each seed and name."""
        word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        self._words = np.random.Philox(key=np.array([seed % 2**64, word], np.uint64))

    def within(self, low: float, high: float) -> float:
        """From a uniform distribution."""
        return low + (high - low) * float(self._uniform(1)[0])

    def sign(self) -> int:
        """1 or −1."""
        return 1 if self.within(0, 1) < 0.5 else -1

    def below(self, count: int) -> int:
        """0 to count − 1."""
        return max(0, min(count - 1, int(self.within(0, count))))

    def order(self, count: int) -> Rows:
        """int64 [count]: a permutation."""
        return np.argsort(self._uniform(count), kind="stable")

    def normal(self) -> Reals:
        """float64 [64, 64] from a normal distribution."""
        noise: Reals = special.ndtri(self._uniform(SIDE * SIDE)).reshape(SIDE, SIDE)
        return noise

    def _uniform(self, count: int) -> Reals:
        words = self._words.random_raw(count) >> np.uint64(11)
        uniform: Reals = (words + 0.5) / 2**53
        return uniform


Alter = Callable[[Bytes, Bytes, Chance], Bytes]  # an image, another one → the altered copy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copied:
    """Copies of one kind."""

    kind: str
    rows: Rows  # [n] of the originals
    images: Bytes  # [n, 64, 64]


def plant(reduced: Bytes, number: int, seed: int) -> list[Copied]:
    """Up to `number` copies of each kind of images uint8 [N, H, W], each of another image."""
    found = []
    for kind, alter in KINDS.items():
        chance = Chance(seed, kind)
        chosen = chance.order(len(reduced))[:number]
        others = [(row + 1 + chance.below(len(reduced) - 1)) % len(reduced) for row in chosen]
        pairs = zip(squared(reduced[chosen]), squared(reduced[others]), strict=True)
        images = [alter(image, other, chance) for image, other in pairs]
        found.append(Copied(kind=kind, rows=chosen, images=np.array(images, np.uint8)))
    return found


def _grey(values: Floats | Reals) -> Bytes:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _encoded(image: Bytes, chance: Chance) -> Bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=round(chance.within(30, 75)))
    return np.asarray(Image.open(file))


def _moved(
    image: Bytes, zoom: float = 1, degrees: float = 0, shift: tuple[float, float] = (0, 0)
) -> Bytes:
    """About the middle, by cubic splines; the border is repeated."""
    middle, angle = (SIDE - 1) / 2, np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    offset = middle - turn @ (middle + np.array(shift))
    return _grey(
        ndimage.affine_transform(image.astype(np.float32), turn, offset, order=3, mode="nearest")
    )


def _shifted(image: Bytes, chance: Chance) -> Bytes:
    return _moved(image, shift=(chance.within(-4, 4), chance.within(-4, 4)))


def _cropped(image: Bytes, chance: Chance, share: float) -> Bytes:
    """Without 1 − share of each side, somewhere, and enlarged."""
    from PIL import Image

    side = round(SIDE * share)
    top, left = chance.below(SIDE - side + 1), chance.below(SIDE - side + 1)
    part = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _brighter(image: Bytes, chance: Chance) -> Bytes:
    contrast, brightness = chance.within(0.8, 1.25), chance.within(-30, 30)
    return _grey((image.astype(np.float64) - 128) * contrast + 128 + brightness)


def _gamma(image: Bytes, chance: Chance) -> Bytes:
    return _grey(255 * (image / 255) ** np.exp(chance.within(-0.5, 0.5)))


def _noisy(image: Bytes, chance: Chance, sigma: float) -> Bytes:
    return _grey(image + sigma * chance.normal())


def _blurred(image: Bytes, sigma: float) -> Bytes:
    return _grey(ndimage.gaussian_filter(image.astype(np.float32), sigma))


def _mixed(image: Bytes, chance: Chance, noise: float) -> Bytes:
    """Mirrored or not, turned, zoomed, shifted, brighter, noisy and encoded."""
    image = image[:, :: chance.sign()]
    zoom, degrees = np.exp(chance.within(-1, 1) * np.log(1.1)), chance.within(-3, 3)
    image = _moved(image, zoom, degrees, (chance.within(-4, 4), chance.within(-4, 4)))
    image = _brighter(image, chance)
    if noise:
        image = _noisy(image, chance, chance.within(0, noise))
    return _encoded(image, chance)


KINDS: Mapping[str, Alter] = {
    "JPEG of quality 30–75": lambda image, _, chance: _encoded(image, chance),
    "mirroring": lambda image, _, _chance: image[:, ::-1],
    "shift up to 4 px": lambda image, _, chance: _shifted(image, chance),
    "crop to 90 %": lambda image, _, chance: _cropped(image, chance, 0.9),
    "crop to 80 %": lambda image, _, chance: _cropped(image, chance, 0.8),
    "brightness and contrast": lambda image, _, chance: _brighter(image, chance),
    "gamma 0.6–1.6": lambda image, _, chance: _gamma(image, chance),
    "rotation by 3°": lambda image, _, chance: _moved(image, degrees=3 * chance.sign()),
    "rotation by 8°": lambda image, _, chance: _moved(image, degrees=8 * chance.sign()),
    "zoom by 1.1": lambda image, _, chance: _moved(image, zoom=1.1 ** chance.sign()),
    "noise of σ 10": lambda image, _, chance: _noisy(image, chance, 10),
    "noise of σ 20": lambda image, _, chance: _noisy(image, chance, 20),
    "blur of σ 1 px": lambda image, _, _chance: _blurred(image, 1),
    "blur of σ 2 px": lambda image, _, _chance: _blurred(image, 2),
    "mirroring, shift, contrast and JPEG": lambda image, _, chance: _encoded(
        _brighter(_shifted(image[:, ::-1], chance), chance), chance
    ),
    "rotation, zoom, shift, contrast and JPEG": lambda image, _, chance: _mixed(image, chance, 0),
    "all of these with noise up to σ 10": lambda image, _, chance: _mixed(image, chance, 10),
    "blend with 30 % of another image": lambda image, other, _: _grey(0.7 * image + 0.3 * other),
    "blend with 50 % of another image": lambda image, other, _: _grey(0.5 * image + 0.5 * other),
    "inversion": lambda image, _, _chance: 255 - image,
}
