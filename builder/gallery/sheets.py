"""Images → sheets of thumbnails: JPEG files of at most 1024×1024 pixels, many images in each.

A page of 300,000 files opens in no browser; one with a thousand sheets does. A sheet is never
larger, so that a browser decodes it in milliseconds whatever the size of a thumbnail.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder.audit.pictures import Rows, Sealed, read_image
from builder.contract import Bytes, ImageSpec
from builder.contract.cores import usable_cores
from builder.progress import Progress

SHEET = 1024  # pixels, each side
SMALLEST = 64  # pixels, of a thumbnail's longer side, unless the images themselves are smaller
QUALITY = 80  # of JPEG: 0.8 kB for a radiograph of 64 pixels
BUDGET = 300_000 * SMALLEST**2  # pixels; 300,000 thumbnails of 64 pixels, about 250 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Thumbnails of `width` × `height` pixels, `across` in a row and in a column of a sheet."""

    width: int
    height: int
    across: int

    @property
    def tiles(self) -> int:
        """Thumbnails in a full sheet."""
        return self.across**2


def tiling(spec: ImageSpec, images: int, side: int | None = None) -> Tiling:
    """How that many images are laid out; `side`, in pixels, is of the longer side of a thumbnail.

    By default the images' own size where that many pixels fit into BUDGET, or else the largest of
    64, 128, 256 … that does, and at least 64. A thumbnail is never larger than the image.
    """
    own = max(spec.width, spec.height)
    if side is None:
        side = own if images * own**2 <= BUDGET else SMALLEST
        while side < own and images * (2 * side) ** 2 <= BUDGET:
            side *= 2
    side = min(side, own, SHEET)
    width, height = (max(1, round(each * side / own)) for each in (spec.width, spec.height))
    return Tiling(width=width, height=height, across=SHEET // side)


def write_sheets(
    sealed: Sealed, rows: Rows, layout: Tiling, folder: Path, show: Progress
) -> list[Path]:
    """The sheets 0000.jpg, 0001.jpg … in `folder`, with the images of those rows in their order.

    Each holds at most `layout.tiles`; the last one is as high as its thumbnails need. Their bytes
    do not depend on threads, and no more than one sheet a thread is in memory.
    """
    folder.mkdir(parents=True)
    starts = range(0, len(rows), layout.tiles)
    paths = [folder / f"{number:04d}.jpg" for number in range(len(starts))]
    with show("drawing", len(rows)) as advance, ThreadPoolExecutor(usable_cores()) as threads:

        def write(start: int, path: Path) -> int:
            mine = rows[start : start + layout.tiles]
            path.write_bytes(_sheet(sealed, mine, layout))
            return len(mine)

        for done in threads.map(write, starts, paths):
            advance(done)
    return paths


def _sheet(sealed: Sealed, rows: Rows, layout: Tiling) -> bytes:
    """A JPEG file with the images of those rows, row by row."""
    import simplejpeg

    lines = -(-len(rows) // layout.across)
    sheet = np.zeros((lines, layout.height, layout.across, layout.width), np.uint8)
    for place, row in enumerate(rows):
        line, column = divmod(place, layout.across)
        sheet[line, :, column] = _thumbnail(read_image(sealed, int(row)), layout)
    pixels = sheet.reshape(lines * layout.height, layout.across * layout.width, 1)
    data: bytes = simplejpeg.encode_jpeg(pixels, QUALITY, "GRAY", "GRAY")
    return data


def _thumbnail(image: Bytes, layout: Tiling) -> Bytes:
    """uint8 [height, width] of the layout."""
    from PIL import Image

    if image.shape == (layout.height, layout.width):
        return image
    size = (layout.width, layout.height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
