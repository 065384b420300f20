"""A sheet of class activation maps, as one PNG: images next to their overlays."""

import io
import warnings
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import interpolate

from builder.contract import Bytes
from trainer.cam.maps import Cams, Map

GREY = "#5b6670"  # of the text below the title
FOR, AGAINST = (255, 96, 32), (32, 128, 255)  # told apart by the colour-blind, and from any grey
OPACITY = 0.65  # where a map is at its limit; the image still shows through
CELL, GAP, HEAD, MARGIN, TOP, BAR = 1.5, 0.03, 0.27, 0.3, 1.0, 0.85  # inches
PAIR, ROW = 2 * CELL + GAP + 0.16, HEAD + CELL + 0.3
DPI = 160


def overlay(image: Bytes, cam: Map, limit: float) -> Bytes:
    """uint8 [H, W, 3]: the map [h, w] as colour over the grey image [H, W].

    Orange speaks for the pathology, blue against it, the stronger the less transparent; zero
    leaves the image as it is, `limit` and beyond are equally strong. Cells are interpolated.
    """
    grown = interpolate(torch.from_numpy(cam)[None, None], image.shape, mode="bilinear")[0, 0]
    signed = (grown.numpy() / limit if limit > 0 else np.zeros(image.shape))[..., None]
    colour = np.where(signed > 0, FOR, AGAINST)
    opacity = OPACITY * np.abs(signed).clip(max=1)
    return np.rint(image[..., None] * (1 - opacity) + colour * opacity).astype(np.uint8)


def sheet(cams: Cams) -> bytes:
    """A PNG: per pathology a row of images, each next to its overlay, and the scale of the colours.

    It says how coarse the maps are and which images are missing.
    """
    columns = max([2, *(len(cams.of(name)) for name in cams.pathologies)])
    heights = [ROW if cams.of(name) else HEAD for name in cams.pathologies]
    page = _Page(2 * MARGIN + columns * PAIR + BAR, MARGIN + TOP + sum(heights))
    shapes = sorted({"×".join(map(str, cam.map.shape)) for cam in cams.cams})
    page.text(MARGIN, MARGIN + 0.1, "Class activation maps", fontsize=13, fontweight="bold")
    page.text(
        MARGIN,
        MARGIN + 0.34,
        f"Maps of {' and '.join(shapes) or 'no'} cells, interpolated: finer shapes mean nothing."
        " Orange speaks for the pathology, blue against it.\nThe mean of a map plus the bias is the"
        " logit: an image of an unlikely pathology is blue all over. Each row has its own scale.",
        fontsize=8,
        color=GREY,
        va="top",
    )
    top = MARGIN + TOP
    for name, height in zip(cams.pathologies, heights, strict=True):
        _row(page, cams, name, top, columns)
        top += height
    return page.png()


class _Page:
    """A figure on which everything has its place in inches from the upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        """Nothing is drawn yet."""
        self._figure = Figure(figsize=(width, height), dpi=DPI)
        self._width, self._height = width, height

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text that begins there, on that baseline; a $ in a file's name is no mathematics."""
        x, y = x / self._width, 1 - y / self._height
        self._figure.text(x, y, text, parse_math=False, **style)

    def picture(self, x: float, y: float, width: float, pixels: Bytes) -> None:
        """Pixels [H, W] or [H, W, 3] whose upper left corner is there, in a box CELL high."""
        box = (x / self._width, 1 - (y + CELL) / self._height)
        axes = self._figure.add_axes((*box, width / self._width, CELL / self._height))
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
        axes.set_anchor("NW")  # of the box, where the pixels have other proportions
        axes.set_axis_off()

    def png(self) -> bytes:
        """The page as it is now."""
        file = io.BytesIO()
        with warnings.catch_warnings():  # a name may have letters that the font lacks
            warnings.filterwarnings("ignore", "Glyph")
            self._figure.savefig(file, format="png")
        return file.getvalue()


def _row(page: _Page, cams: Cams, pathology: str, top: float, columns: int) -> None:
    """A pathology's name, images and overlays, and right of `columns` of them what colours mean."""
    limit, y = cams.limit(pathology), top + HEAD
    note = f": {cams.notes[pathology]}" if pathology in cams.notes else ""
    page.text(MARGIN, top, pathology + note, fontsize=10, fontweight="bold")
    for number, cam in enumerate(cams.of(pathology)):
        x = MARGIN + number * PAIR
        file = cam.key if len(cam.key) <= 24 else f"…{cam.key[-23:]}"
        name = f"{cam.origin}, {cam.split}" if cam.origin else file
        page.text(x, y - 0.05, name, fontsize=8)
        page.text(x + CELL + GAP, y - 0.05, f"probability {cam.probability:.2f}", fontsize=8)
        page.picture(x, y, CELL, cam.image)
        page.picture(x + CELL + GAP, y, CELL, overlay(cam.image, cam.map, limit))
    if limit:
        x = MARGIN + columns * PAIR
        scale = np.linspace(limit, -limit, 101, dtype=np.float32)[:, None]
        page.picture(x, y, 0.14, overlay(np.full((101, 9), 96, np.uint8), scale, limit))
        for label, at in ((f"{limit:+.2g} for", 0.0), ("0", 0.5), (f"−{limit:.2g} against", 1.0)):
            page.text(x + 0.2, y + 0.05 + at * (CELL - 0.1), label, fontsize=7, va="center")
