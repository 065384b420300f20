import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.audit.pictures import Sealed, read_image
from builder.contract import ImageSpec
from builder.gallery import sheets
from builder.gallery.samples import samples_of
from builder.gallery.sheets import BUDGET, Tiling, tiling, write_sheets
from builder.progress import progress


def spec(width: int, height: int) -> ImageSpec:
    return ImageSpec(width=width, height=height, codec="png", quality=0)


@pytest.mark.parametrize(
    ("own", "images", "side"),
    [
        (64, 300_000, 64),
        (32, 300_000, 32),
        (224, 300_000, 64),
        (224, 1_000_000, 64),
        (224, 60_000, 128),
        (224, 20_000, 224),
        (1024, 1000, 1024),
        (4096, 10, 1024),
    ],
)
def test_thumbnails_are_as_large_as_the_budget_allows(own: int, images: int, side: int) -> None:
    layout = tiling(spec(own, own), images)
    assert (layout.width, layout.height, layout.across) == (side, side, 1024 // side)
    assert side in (64, own) or images * side**2 <= BUDGET


def test_a_thumbnail_has_the_shape_of_the_image_and_is_never_larger() -> None:
    assert tiling(spec(200, 100), 10, 64) == Tiling(width=64, height=32, across=16)
    assert tiling(spec(100, 200), 10, 64) == Tiling(width=32, height=64, across=16)
    assert tiling(spec(40, 40), 10, 64) == Tiling(width=40, height=40, across=25)
    assert tiling(spec(4096, 1), 10, 16) == Tiling(width=16, height=1, across=64)


def test_each_image_is_in_its_place(opened: Sealed, tmp_path: Path) -> None:
    rows = samples_of(opened, synthetic_only=False)[:11]
    layout = Tiling(width=32, height=32, across=3)
    paths = write_sheets(opened, rows, layout, tmp_path / "sheets", progress)
    assert [path.name for path in paths] == ["0000.jpg", "0001.jpg"]
    shapes = []
    for number, path in enumerate(paths):
        sheet = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
        shapes.append(sheet.shape)
        for place, row in enumerate(rows[9 * number : 9 * number + 9]):
            top, left = 32 * (place // 3), 32 * (place % 3)
            shown = sheet[top : top + 32, left : left + 32].astype(float)
            true = read_image(opened, int(row)).astype(float)
            assert np.abs(shown - true).mean() < 8
            others = [
                read_image(opened, int(other)).astype(float) for other in rows if other != row
            ]
            assert np.abs(shown - true).mean() < min(np.abs(shown - o).mean() for o in others)
    assert shapes == [(96, 96), (32, 96)]


def test_bytes_do_not_depend_on_threads(
    opened: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = samples_of(opened, synthetic_only=False)
    layout = Tiling(width=16, height=16, across=2)
    found = []
    for cores in (1, 7):
        monkeypatch.setattr(sheets, "usable_cores", lambda cores=cores: cores)
        paths = write_sheets(opened, rows, layout, tmp_path / str(cores), progress)
        found.append([path.read_bytes() for path in paths])
    assert found[0] == found[1]
    assert len(found[0]) == -(-len(rows) // 4)
    assert Image.open(io.BytesIO(found[0][0])).size == (32, 32)
