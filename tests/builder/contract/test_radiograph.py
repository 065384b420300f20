import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.contract import Bytes
from builder.contract.radiograph import Reading, read_radiograph, resize


def noise(*shape: int) -> Bytes:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def lanczos(pixels: Bytes, size: int) -> Bytes:
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))


def test_images_are_reduced_with_antialiasing() -> None:
    big = np.kron(np.eye(8), np.ones((4, 4))).astype(np.uint8) * 200
    assert np.array_equal(resize(big, 16), lanczos(big, 16))
    assert resize(big, 32) is big


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_middle_square_is_kept(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"tall.{suffix}"
    Image.fromarray(noise(70, 50)).save(file)
    with Image.open(file) as picture:
        own = np.asarray(picture)
    assert np.array_equal(read_radiograph(file, 50, Reading()), own[10:60])
    assert np.array_equal(read_radiograph(file, 32, Reading()), lanczos(own[10:60].copy(), 32))


def test_sixteen_bits_are_scaled_and_colours_become_grey(tmp_path: Path) -> None:
    deep, colour = tmp_path / "deep.png", tmp_path / "colour.png"
    Image.fromarray(noise(40, 40).astype(np.uint16) * 257).save(deep)
    Image.fromarray(np.stack([noise(40, 40)] * 3, axis=-1)).save(colour)
    assert np.array_equal(read_radiograph(deep, 40, Reading()), noise(40, 40))
    assert np.array_equal(read_radiograph(colour, 40, Reading()), noise(40, 40))


def test_what_is_no_radiograph_is_refused_with_a_reason(tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    Image.fromarray(noise(40, 40)).save(cut)
    cut.write_bytes(cut.read_bytes()[:400])
    (tmp_path / "text.png").write_text("no image")
    Image.new("L", (40, 40), 9).save(tmp_path / "flat.png")
    reasons = {
        "absent.png": "missing",
        "text.png": "neither PNG, JPEG, TIFF nor DICOM",
        "flat.png": "every pixel is the same",
        "cut.png": "truncated",
    }
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=reason):
            read_radiograph(tmp_path / name, 32, Reading())


def test_too_many_pixels_are_refused_in_any_thread_and_say_nothing_on_stderr(
    tmp_path: Path,
) -> None:
    file = tmp_path / "huge.png"
    Image.new("1", (10_000, 10_000)).save(file)

    def reason(_: int) -> str:
        with pytest.raises(ValueError, match="pixels") as caught:
            read_radiograph(file, 32, Reading())
        return str(caught.value)

    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(reason, range(64))} == {"more pixels than any radiograph has"}
    assert list(warnings.filters) == before
