"""A procedural chest phantom: a schematic front view on which every pathology has its own sign.

It is not a radiograph and imitates no patient. It stands in for a trained generator wherever one
needs to know that a label reaches the pixels: in tests, in the demo, on a machine without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.contract import UsageError
from builder.generators.phantom_body import NUISANCE, Film, Plane, bump, noise_banks, step, wave
from builder.generators.phantom_flaws import FLAWS, Flaw


class Place(NamedTuple):
    """Where one sign falls: side −1 (image left) or 1; along, across and size in (0, 1)."""

    side: float
    along: float
    across: float
    size: float


def _spot(at: Place) -> tuple[float, float]:
    """A point (u, v) well inside a lung and clear of the heart."""
    v = -0.46 + 0.72 * at.along
    clear = 0.15 * max(v + 0.1, 0.0) if at.side > 0 else 0.0
    return at.side * (0.34 + 0.09 * v + 0.18 * at.across + clear), v


def _no_finding(film: Film, at: Place) -> None:
    """Nothing: what a classifier has to see is that no sign is there."""


def _enlarged_mediastinum(film: Film, at: Place) -> None:
    window, mask = film.column(film.body["mediastinum"] + 0.04 + 0.08 * at.size)
    film.fill(window, mask * step((0.12 - film.v[window]) * 3.5))


def _cardiomegaly(film: Film, at: Place) -> None:
    film.fill(*film.heart(film.body["heart"] * (1.25 + 0.35 * at.size)))


def _lung_opacity(film: Film, at: Place) -> None:
    """One large haze without an edge."""
    window, distance = film.disc(*_spot(at), 0.32, 0.36 + 0.1 * at.size)
    film.fill(window, 0.62 * bump(distance))


def _lung_lesion(film: Film, at: Place) -> None:
    """A cavity: a bright ring about a dark centre."""
    radius = 0.11 + 0.05 * at.size
    window, distance = film.disc(*_spot(at), radius, radius)
    film.add(window, 0.75 * bump(distance) * step(distance * 2.0))


def _edema(film: Film, at: Place) -> None:
    """A haze about both hila, like the wings of a bat."""
    window, distance = film.pair(0.28, -0.04, 0.36, 0.50)
    film.fill(window, (0.20 + 0.40 * at.size) * bump(distance))


def _consolidation(film: Film, at: Place) -> None:
    """One lobe, dense up to a straight fissure."""
    window = film.half(at.side)
    fissure = -0.12 + 0.2 * at.across
    edge = (film.v[window] - fissure) * (8.0 if at.along > 0.5 else -8.0)
    film.fill(window, (0.5 + 0.25 * at.size) * step(edge))


def _pneumonia(film: Film, at: Place) -> None:
    """Patches with ragged edges in one lower zone."""
    radius = 0.30 + 0.06 * at.size
    window, distance = film.disc(at.side * 0.46, 0.06 + 0.2 * at.along, radius, radius)
    film.fill(window, 0.9 * bump(0.7 * distance) * step(film.mottle[window] * 0.35 + 0.5))


def _atelectasis(film: Film, at: Place) -> None:
    """Plates: two bright bands in one lower zone."""
    window = film.half(at.side)
    slope = film.v[window] - (0.5 * at.across - 0.25) * film.side[window]
    slope -= 0.06 + 0.16 * at.along
    for offset in (0.0, 0.14):
        plate = (slope + offset) * (28.0 - 8.0 * at.size)
        film.fill(window, 0.55 * bump(plate * plate))


def _pneumothorax(film: Film, at: Place) -> None:
    """Black air along the wall, and the thin bright edge of the collapsed lung."""
    window = film.half(at.side)
    rim = film.rim[window]
    edge = rim - (film.side[window] - 0.42) * 1.4 - (0.20 + 0.30 * at.size)
    free = step(edge * -6.0) * step(rim * 6.0) * step((0.25 - film.v[window]) * 4.0)
    film.air[window] += 0.28 * free
    film.fill(window, 0.4 * bump(edge * edge * 90.0))


def _pleural_effusion(film: Film, at: Place) -> None:
    """Fluid with a meniscus that climbs along the wall, on one side or on both."""
    window = film.window(0.0, 0.0, 1.0, 1.0) if at.along > 0.7 else film.half(at.side)
    climb = film.side[window] - 0.35
    level = film.v[window] + 0.9 * climb * np.abs(climb)
    level -= 0.35 - 0.36 * at.size
    film.fill(window, 0.92 * step(level * 9.0))


def _pleural_other(film: Film, at: Place) -> None:
    """Plaques: three calcified patches along one chest wall."""
    for number in (-1.0, 0.0, 1.0):
        v = -0.08 + 0.2 * (at.along - 0.5) + 0.22 * number
        u = film.wall(at.side, v) - at.side * 0.04
        window, distance = film.disc(u, v, 0.065 + 0.02 * at.across, 0.08 + 0.03 * at.size)
        film.add(window, 0.24 * step((1.0 - distance) * 1.6))


def _fracture(film: Film, at: Place) -> None:
    """Two displaced rib ends beside a dark gap, near one chest wall."""
    v = -0.36 + 0.55 * at.along
    u = film.wall(at.side, v) - at.side * (0.05 + 0.08 * at.across)
    for end in (-1.0, 1.0):
        window, distance = film.disc(u + end * 0.09, v + end * 0.03, 0.075, 0.05)
        film.add(window, (0.18 + 0.08 * at.size) * step((1.0 - distance) * 1.6))
    window, distance = film.disc(u, v, 0.045, 0.09)
    film.add(window, -(0.18 + 0.08 * at.size) * step((1.0 - distance) * 1.6))


def _support_devices(film: Film, at: Place) -> None:
    """A lead from the shoulder to the heart and, half the time, the pacemaker that it hangs on."""
    window = film.window(at.side * 0.28, -0.28, 0.28, 0.38)
    bend = film.side[window] * (1.0 / 0.55)
    path = film.v[window] - (0.08 - 0.68 * bend * (2.0 - bend)) - 0.1 * at.across
    path *= 22.0
    film.add(window, 0.20 * bump(path * path))
    if at.along > 0.5:
        box, distance = film.disc(at.side * 0.58, -0.48, 0.10 + 0.04 * at.size, 0.11)
        film.add(box, 0.18 * step((1.0 - distance) * 4.0))


def _infiltration(film: Film, at: Place) -> None:
    """A mottled haze over both lungs."""
    window, distance = film.pair(0.42, 0.02, 0.42, 0.62)
    haze = film.mottle[window] * 0.14 + (0.08 + 0.16 * at.size)
    film.fill(window, haze * step((1.0 - distance) * 2.0))


def _mass(film: Film, at: Place) -> None:
    """A ball with a clear edge, twice as wide as a nodule."""
    radius = 0.16 + 0.06 * at.size
    window, distance = film.disc(*_spot(at), radius, radius)
    film.fill(window, 0.75 * step((1.0 - distance) * 2.5))


def _nodule(film: Film, at: Place) -> None:
    """A small ball with a clear edge."""
    radius = 0.075 + 0.025 * at.size
    window, distance = film.disc(*_spot(at), radius, radius)
    film.fill(window, 0.85 * step((1.0 - distance) * 2.0))


def _emphysema(film: Film, at: Place) -> None:
    """Too much air: darker lungs that push the diaphragm down."""
    film.air *= 1.10 + 0.14 * at.size
    film.air += 0.5 * film.lung * (step((film.dome + 0.14) * 11.0) - step(film.dome * 11.0))


def _fibrosis(film: Film, at: Place) -> None:
    """A net of strands over both bases."""
    window = film.window(0.0, 0.25, 0.85, 0.4)
    u, v = film.u[window] * 4.5, film.v[window] * 4.5
    net = np.maximum(wave(u + v), wave(u - v + at.across))
    net *= net
    film.fill(window, (0.35 + 0.3 * at.size) * net * step((film.v[window] + 0.12) * 4.0))


def _pleural_thickening(film: Film, at: Place) -> None:
    """A continuous rind along one chest wall, from the apex down."""
    window = film.half(at.side)
    medial = np.maximum(0.40 - film.side[window], 0.0)
    depth = (0.42 + 0.25 * at.size) - film.rim[window] - medial * 2.0
    film.fill(window, 0.85 * step(depth * 5.0))


def _hernia(film: Film, at: Place) -> None:
    """A stomach behind the heart: a bright bag with gas above a fluid level."""
    v, radius = 0.28 + 0.1 * at.along, 0.15 + 0.06 * at.size
    window, distance = film.disc(0.14 * (at.across - 0.5), v, radius, radius)
    film.add(window, 0.18 * step((1.0 - distance) * 3.0))
    film.add(window, -0.42 * bump(0.7 * distance) * step((v - film.v[window]) * 14.0))


SIGNS: dict[str, Callable[[Film, Place], None]] = {
    "No Finding": _no_finding,
    "Enlarged Cardiomediastinum": _enlarged_mediastinum,
    "Cardiomegaly": _cardiomegaly,
    "Lung Opacity": _lung_opacity,
    "Lung Lesion": _lung_lesion,
    "Edema": _edema,
    "Consolidation": _consolidation,
    "Pneumonia": _pneumonia,
    "Atelectasis": _atelectasis,
    "Pneumothorax": _pneumothorax,
    "Pleural Effusion": _pleural_effusion,
    "Pleural Other": _pleural_other,
    "Fracture": _fracture,
    "Support Devices": _support_devices,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Pleural Thickening": _pleural_thickening,
    "Hernia": _hernia,
}


class Phantom:
    """Phantom chests from latents and labels, called as any conditional generator is."""

    labels: tuple[str, ...] = tuple(SIGNS)
    latent_size: int = len(NUISANCE) + len(Place._fields) * len(SIGNS)

    def __init__(self, resolution: int, flaw: Flaw | None = None) -> None:
        """Prepare to draw images of resolution × resolution pixels, 16 to 1024."""
        self.resolution = resolution
        self._flaw = flaw
        pixels = np.arange(resolution, dtype=np.float32)
        self._axis: Plane = (pixels + np.float32(0.5)) * np.float32(2 / resolution) - np.float32(1)
        self._banks = noise_banks(resolution)

    def __call__(self, latents: Plane, labels: Plane) -> NDArray[np.uint8]:
        """Images, uint8 [B, H, W], each a function of its own row alone.

        latents: float32 [B, Z], standard normal. labels: float32 [B, L] in the order of
        `labels`, present where > 0.5. Raises ValueError for other shapes and infinite latents.
        """
        z = _checked("latents", latents, self.latent_size).astype(np.float64)
        present = _checked("labels", labels, len(self.labels)) > 0.5
        if len(z) != len(present):
            raise ValueError(
                f"Latents and labels must pair up, got {len(z)} and {len(present)} rows."
            )
        if not np.isfinite(z).all():
            raise ValueError("The phantom's latents must be finite, got NaN or infinity.")
        if self._flaw is not None:
            latents, labels = self._flaw(np.asarray(latents, np.float32), np.asarray(labels))
            z, present = latents.astype(np.float64), labels > 0.5
        # Near the normal distribution function, and exact on every machine.
        shares = (0.5 + 0.5 * z / np.sqrt(z * z + 1.5708)).tolist()
        images = np.empty((len(z), self.resolution, self.resolution), np.uint8)
        for image, share, signs in zip(images, shares, present.tolist(), strict=True):
            image[:] = self._draw(share, signs)
        return images

    def _draw(self, shares: list[float], present: list[bool]) -> NDArray[np.uint8]:
        healthy = zip(NUISANCE.items(), shares, strict=False)
        body = {name: low + (high - low) * share for (name, (low, high)), share in healthy}
        film = Film(self._axis, self._banks, body)
        for number, (sign, here) in enumerate(zip(SIGNS.values(), present, strict=True)):
            if here:
                first = len(NUISANCE) + len(Place._fields) * number
                side, *rest = shares[first : first + len(Place._fields)]
                sign(film, Place(1.0 if side > 0.5 else -1.0, *rest))
        return film.develop()


def _checked(name: str, rows: Plane, width: int) -> Plane:
    array = np.asarray(rows, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"The phantom's {name} must be [B, {width}], got {list(array.shape)}.")
    return array


def load(argument: str, image_size: int, *, flaw: str = "") -> Phantom:
    """The phantom at image_size × image_size pixels, 16 to 1024; its argument is empty.

    `flaw`: "" for none, or one of FLAWS.
    """
    if argument:
        raise UsageError(f"The phantom takes no argument, got {argument!r}: write just phantom.")
    if not 16 <= image_size <= 1024:
        raise UsageError(f"The phantom draws 16 to 1024 pixels a side, got {image_size}.")
    if flaw and flaw not in FLAWS:
        raise UsageError(f"The phantom's flaw is {' or '.join(FLAWS)}, got {flaw!r}.")
    return Phantom(image_size, FLAWS.get(flaw))
