import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.cam import Cam, Cams, overlay, sheet
from trainer.cam.sheet import _Page

GREY = np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8)


def flat(value: float) -> np.ndarray:
    return np.full((2, 2), value, np.float32)


@pytest.mark.parametrize("limit", [3.0, 0.0])
def test_nothing_for_or_against_leaves_the_image(limit: float) -> None:
    found = overlay(GREY, flat(0), limit)
    assert found.dtype == np.uint8
    assert (found == GREY[..., None]).all()


def test_for_is_warm_and_against_is_cold_on_any_grey() -> None:
    red, _, blue = np.moveaxis(overlay(GREY, flat(1), 2).astype(int), -1, 0)
    assert (red - blue > 50).all()
    red, _, blue = np.moveaxis(overlay(GREY, flat(-1), 2).astype(int), -1, 0)
    assert (blue - red > 50).all()


def test_more_is_stronger_up_to_the_limit() -> None:
    def strength(value: float) -> float:
        return np.abs(overlay(GREY, flat(value), 4).astype(int) - GREY[..., None]).mean()

    for sign in (1, -1):
        steps = [strength(sign * value) for value in (0.5, 1, 2, 4)]
        assert steps == sorted(set(steps))
        assert strength(sign * 4) == pytest.approx(strength(sign * 40), rel=1e-3)
    assert len(np.unique(overlay(GREY, flat(4), 4)[..., 0])) > 50  # the image shows through


def test_a_cell_colours_its_own_corner() -> None:
    corner = np.array([[0, 2], [0, 0]], np.float32)
    changed = (overlay(GREY, corner, 2) != GREY[..., None]).any(axis=2)
    assert changed[:16, 36:].all()
    assert not changed[48:].any()
    assert not changed[:, :12].any()


def made(pathology: str, origin: str, value: float, key: str = "key") -> Cam:
    return Cam(
        pathology=pathology,
        origin=origin,
        split="test" if origin else "",
        key=key,
        image=GREY,
        map=np.array([[value, 0], [0, -value / 2]], np.float32),
        probability=0.25,
    )


CAMS = Cams(
    pathologies=("Mass", "Hernia"),
    cams=(made("Mass", "real", 2), made("Mass", "synthetic", -8)),
    notes={"Hernia": "no positive real test images"},
    skipped=(),
)


def words_of(cams: Cams, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a sheet says."""
    said, text = [], _Page.text

    def spy(page: Any, x: float, y: float, words: str, **style: Any) -> None:
        said.append(words)
        text(page, x, y, words, **style)

    with monkeypatch.context() as patch:
        patch.setattr(_Page, "text", spy)
        sheet(cams)
    return "\n".join(said)


def test_a_sheet_says_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(CAMS, monkeypatch)
    for part in (
        *("2×2 cells", "Mass", "real, test", "synthetic, test", "probability 0.25"),
        *("+8 for", "−8 against", "Hernia: no positive real test images"),
    ):
        assert part in words
    assert CAMS.limit("Mass") == 8
    assert CAMS.limit("Hernia") == 0


def test_a_sheet_has_the_same_bytes_each_time() -> None:
    first = sheet(CAMS)
    assert first == sheet(CAMS) != sheet(replace(CAMS, notes={}))
    picture = Image.open(io.BytesIO(first))
    assert picture.format == "PNG"
    assert min(picture.size) > 400
    assert sheet(replace(CAMS, cams=CAMS.cams[:1])) != first


def test_a_sheet_bears_any_name_and_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a/very/long/folder/x_$1^2$.png", "胸部.png")
    cams = replace(CAMS, cams=tuple(made("Mass", "", 0, name) for name in names))
    words = words_of(cams, monkeypatch)
    assert "…long/folder/x_$1^2$.png" in words
    assert " for" not in words.splitlines()[-1]  # no scale where there is nothing to scale
    assert sheet(replace(CAMS, cams=()))
