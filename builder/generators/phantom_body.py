"""The healthy chest that the phantom's signs are drawn on: a film, its coordinates, its noise.

Only + − × ÷ √, minimum, maximum and rounding touch a pixel. IEEE 754 fixes these to the last bit,
so that the bytes depend neither on the machine nor on numpy's vector units.

Anatomical coordinates: u from −1 (image left, the patient's right) to 1, v from −1 (top) to 1.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# float32 in fact; numpy's type stubs lose the width when a Python float takes part.
Plane: TypeAlias = NDArray[np.floating[Any]]
Window: TypeAlias = tuple[slice, slice]

# What varies between healthy phantoms: one latent each, in this order, squashed into (low, high).
NUISANCE: dict[str, tuple[float, float]] = {
    "shift_u": (-0.09, 0.09),
    "shift_v": (-0.05, 0.11),
    "width": (0.92, 1.16),
    "height": (0.94, 1.16),
    "tilt": (-0.07, 0.07),
    "shoulder": (-0.80, -0.62),
    "lung": (0.32, 0.38),
    "apex": (0.72, 0.84),
    "dome": (0.34, 0.52),
    "dome_tilt": (0.00, 0.12),
    "heart": (0.24, 0.31),
    "mediastinum": (0.09, 0.14),
    "spine": (0.03, 0.10),
    "ribs": (4.6, 6.2),
    "rib_phase": (0.0, 1.0),
    "rib_strength": (0.05, 0.12),
    "clavicle": (0.04, 0.14),
    "vessels": (0.12, 0.34),
    "breast": (0.00, 0.12),
    "gas": (0.00, 0.25),
    "depth": (0.42, 0.60),
    "exposure": (-0.09, 0.09),
    "contrast": (0.90, 1.20),
    "noise": (0.010, 0.035),
    "noise_u": (0.0, 1.0),
    "noise_v": (0.0, 1.0),
}


def bump(distance: Plane) -> Plane:
    """A soft hill: 1 where the squared distance is 0, falling to 0 at 1 and beyond."""
    hill: Plane = np.maximum(1.0 - distance, 0.0)
    hill *= hill
    return hill


def step(x: Plane) -> Plane:
    """A smooth step: 0 below x = 0, 1 above x = 1."""
    rise: Plane = np.maximum(x, 0.0)
    np.minimum(rise, 1.0, out=rise)
    slope = rise * -2.0
    slope += 3.0
    rise *= rise
    rise *= slope
    return rise


def wave(turns: Plane) -> Plane:
    """A triangle wave: 0 at whole turns, 1 half way between."""
    height: Plane = turns - np.floor(turns)
    height -= 0.5
    np.abs(height, out=height)
    height *= -2.0
    height += 1.0
    return height


def noise_banks(resolution: int) -> tuple[Plane, Plane, Plane]:
    """Three fixed textures, float32 [2H, 2W], mean 0, deviation near 1: grain, mottle, cloud.

    Grain is per pixel; mottle and cloud keep their size in the body at every resolution.
    """
    size = 2 * resolution
    mottle, cloud = (
        (_lattice(size, cells, cells) + _lattice(size, 2 * cells - 3, cells + 1)) * np.float32(0.9)
        for cells in (34, 10)
    )
    return _lattice(size, size, 0), mottle, cloud


def _lattice(size: int, cells: int, key: int) -> Plane:
    """Noise on a lattice of cells × cells, stretched smoothly to [size, size]."""
    side = cells + 1
    # Raw Philox words are fixed by its specification; Generator methods may change with numpy.
    words = np.random.Philox(key=key).random_raw((side * side + 1) // 2)
    octets = words.astype("<u8").view(np.uint8)[: 4 * side * side].reshape(side, side, 4)
    normal = ((octets.sum(axis=2, dtype=np.int64) - 510) / 147.8).astype(np.float32)
    return _stretch(_stretch(normal, size).T, size).T


def _stretch(rows: Plane, size: int) -> Plane:
    at = np.arange(size) * ((len(rows) - 1) / size)
    low = at.astype(np.int64)
    share = step((at - low).astype(np.float32))[:, None]
    stretched: Plane = rows[low] * (1.0 - share) + rows[low + 1] * share
    return stretched


class Film:
    """One image while it is drawn: tissue and air, float32 [H, W]; grey is tissue − depth · air.

    Signs that fill the lung scale its air down, so they add up as they do in a body: two
    opacities on one spot are never whiter than no air at all.
    """

    def __init__(self, axis: Plane, banks: tuple[Plane, Plane, Plane], body: dict[str, float]):
        """Draw the healthy chest; axis is the pixel centres in −1..1, body the NUISANCE values."""
        self.body = body
        # Two shears are a rotation to within tilt², and cost one pass each.
        column, tilt = axis[:, None], body["tilt"]
        self.u: Plane = (axis - body["shift_u"]) / body["width"] - column * (tilt / body["width"])
        self.v: Plane = (column - body["shift_v"]) / body["height"] + axis * (tilt / body["height"])
        self.side: Plane = np.abs(self.u)
        rows, columns = (
            slice(int(body[name] * axis.size), int(body[name] * axis.size) + axis.size)
            for name in ("noise_v", "noise_u")
        )
        self.grain, self.mottle, self.cloud = (bank[rows, columns] for bank in banks)
        self._draw_trunk()
        self._draw_lungs()
        self._draw_mediastinum()
        self._draw_vessels()
        self._draw_bones()

    def window(self, u: float, v: float, ru: float, rv: float) -> Window:
        """The rows and columns that hold the anatomical box u ± ru, v ± rv."""
        body = self.body
        tilt, width, height = body["tilt"], body["width"], body["height"]
        x, y = body["shift_u"] + width * u, body["shift_v"] + height * v
        x = (x + tilt * y) / (1.0 + tilt * tilt)
        reach = abs(tilt)
        return (
            self._span(y - tilt * x, height * rv + reach * width * ru),
            self._span(x, width * ru + reach * height * rv),
        )

    def _span(self, centre: float, half: float) -> slice:
        scale = 0.5 * len(self.u)
        first = math.ceil((centre - half + 1.0) * scale - 0.5)
        after = math.floor((centre + half + 1.0) * scale + 0.5)
        return slice(max(first, 0), max(after, 0))

    def half(self, side: float) -> Window:
        """The rows and columns of one half of the chest, side −1 or 1, from the midline out."""
        return self.window(side * 0.5, 0.0, 0.5, 1.0)

    def disc(self, u: float, v: float, ru: float, rv: float) -> tuple[Window, Plane]:
        """A window and, in it, the squared distance from (u, v) in units of the radii."""
        window = self.window(u, v, ru, rv)
        return window, _square(self.u[window], u, ru) + _square(self.v[window], v, rv)

    def pair(self, u: float, v: float, ru: float, rv: float) -> tuple[Window, Plane]:
        """As disc, for the two discs at u and −u."""
        window = self.window(0.0, v, u + ru, rv)
        return window, _square(self.side[window], u, ru) + _square(self.v[window], v, rv)

    def fill(self, window: Window, mask: Plane) -> None:
        """Take the share `mask`, 0 to 1, of the air in the window away."""
        air = self.air[window]  # a view: `self.air[window] *= …` would copy it back as well
        air *= 1.0 - mask

    def add(self, window: Window, tissue: Plane) -> None:
        """Add tissue in the window; where negative, take it away."""
        view = self.tissue[window]
        view += tissue

    def column(self, half: float) -> tuple[Window, Plane]:
        """The mediastinum, `half` wide on either side of the midline: a window and a mask."""
        window = self.window(0.0, 0.0, half + 0.12, 1.5)
        edge = self.v[window] * 0.06 - self.side[window]
        edge += half + 0.03
        return window, step(edge * 14.0)

    def heart(self, width: float) -> tuple[Window, Plane]:
        """The heart, `width` from its axis to its border: a window and a mask."""
        window = self.window(0.10, 0.20, width + 0.14, 0.40)
        down = self.v[window] - 0.20
        across = self.u[window] - 0.32 * down
        distance = _square(across, 0.34 * width, width) + _square(down, 0.0, 0.38)
        return window, step((1.0 - distance) * 2.5)

    def wall(self, side: float, v: float) -> float:
        """The u of the chest wall at height v."""
        down = (v + 0.06) / self.body["apex"]
        return side * (0.40 + 0.09 * v + self.body["lung"] * math.sqrt(max(1.0 - down * down, 0.0)))

    def develop(self) -> NDArray[np.uint8]:
        """The finished image, uint8 [H, W]."""
        body = self.body
        grey = self.air * -body["depth"]
        grey += self.tissue
        grey += self.grain * body["noise"]
        grey -= 0.45
        grey *= 255.0 * body["contrast"]
        grey += 255.0 * (0.47 + body["exposure"])
        np.rint(grey, out=grey)
        np.maximum(grey, 0.0, out=grey)
        np.minimum(grey, 255.0, out=grey)
        return grey.astype(np.uint8)

    def _draw_trunk(self) -> None:
        neck = step((self.v - (self.body["shoulder"] - 0.26)) * 2.4)
        neck *= 0.70
        neck += 0.24
        neck -= self.side
        self.tissue: Plane = self.side * self.side
        self.tissue *= -0.16
        self.tissue += 0.78
        self.tissue += self.v * 0.04
        self.tissue *= step(neck * 8.0)
        breast, distance = self.pair(0.45, 0.22, 0.34, 0.30)
        self.add(breast, self.body["breast"] * step((1.0 - distance) * 1.5))
        gas, distance = self.disc(0.42, 0.64, 0.17, 0.10)
        self.add(gas, -self.body["gas"] * bump(distance))

    def _draw_lungs(self) -> None:
        across = self.side - self.v * 0.09
        distance = _square(across, 0.40, self.body["lung"])
        distance += _square(self.v, -0.06, self.body["apex"])
        self.rim: Plane = 1.0 - distance  # 0 on the chest wall, 1 on the axis of the lung
        self.dome: Plane = self.side - 0.42  # height above the diaphragm
        self.dome *= self.dome
        self.dome += self.body["dome_tilt"] * self.u
        self.dome += self.body["dome"]
        self.dome -= self.v
        self.lung: Plane = step(self.rim * 4.0)
        self.air: Plane = self.lung * step(self.dome * 11.0)

    def _draw_mediastinum(self) -> None:
        self.fill(*self.column(self.body["mediastinum"]))
        self.fill(*self.heart(self.body["heart"]))
        knob, distance = self.disc(0.11, -0.28, 0.14, 0.20)
        self.fill(knob, 0.9 * step((1.0 - distance) * 1.6))
        hila, distance = self.pair(0.20, -0.06, 0.18, 0.26)
        self.fill(hila, 0.5 * bump(distance))
        trachea, distance = self.disc(0.0, -0.72, 0.07, 0.48)
        self.add(trachea, -0.12 * bump(distance))

    def _draw_vessels(self) -> None:
        spokes = self.v + 0.06
        spokes /= self.side + 0.03
        spokes *= 2.6
        spokes += self.cloud
        vessels = wave(spokes)
        vessels *= vessels
        vessels *= 0.9 - self.side
        vessels *= self.body["vessels"]
        vessels += self.cloud * 0.06
        self.air *= 1.0 - vessels

    def _draw_bones(self) -> None:
        arch = self.side - 0.30
        arch *= arch
        arch *= 1.2
        arch += self.v
        arch *= self.body["ribs"]
        arch += self.body["rib_phase"]
        ribs = wave(arch)
        ribs *= ribs
        ribs *= self.lung
        ribs *= self.body["rib_strength"]
        self.tissue += ribs
        band = self.window(0.0, -0.60, 0.74, 0.16)
        side = self.side[band]
        clavicle = bump(_square(self.v[band] + 0.20 * side, -0.52, 0.045))
        clavicle *= step((0.74 - side) * 7.0) * step((side - 0.05) * 12.0)
        self.add(band, self.body["clavicle"] * clavicle)
        spine = self.window(0.0, 0.0, 0.1, 1.5)
        vertebrae = wave(self.v[spine] * 7.0) * 0.5 + 0.7
        vertebrae *= bump(_square(self.side[spine], 0.0, 0.1))
        self.add(spine, vertebrae * self.body["spine"])


def _square(plane: Plane, centre: float, radius: float) -> Plane:
    offset: Plane = plane - centre
    offset *= 1.0 / radius
    offset *= offset
    return offset
