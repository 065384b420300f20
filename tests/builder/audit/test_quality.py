import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, ImageFilter
from threadpoolctl import threadpool_limits

from builder.audit.features import pixel_features
from builder.audit.pictures import Pictures
from builder.audit.quality import judge_quality
from builder.audit.settings import Settings
from builder.contract import Bytes
from builder.contract.audit import Figure, Quality
from builder.progress import Progress

MakePictures = Callable[..., Pictures]
NAMES = [
    *("kid", "fid", "precision", "recall", "density", "coverage", "ms_ssim"),
    *("sharpness", "high_frequencies", "intensity", "contrast"),
]
SETTINGS = Settings(resamples=60)

Judge = Callable[[Bytes], Quality]


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Fewer couples and flips, which take most of the time; enough flips for Holm's rule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builder.audit.sameness.COUPLES", 60)
        patch.setattr("builder.audit.chance.FLIPS", 299)
        yield


@pytest.fixture(scope="module")
def judged(
    make_pictures: MakePictures, chests: Callable[[int, int], Bytes], show: Progress
) -> Judge:
    """The quality of images, compared with real ones of two label vectors."""

    def vectors(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return np.stack([np.arange(count) % 2, np.ones(count)], axis=1).astype(np.int8)

    train = make_pictures(chests(300, 1), labels=vectors(300))
    held_out = make_pictures(chests(120, 2), labels=vectors(120), split="test")
    extractor = pixel_features(train)

    def judge(images: Bytes) -> Quality:
        labels = vectors(len(images))
        synthetic = make_pictures(images, labels=labels, origin="synthetic")
        return judge_quality(synthetic, train, held_out, extractor, SETTINGS, show)

    return judge


@pytest.fixture(scope="module")
def honest(judged: Judge, chests: Callable[[int, int], Bytes]) -> Quality:
    return judged(chests(150, 3))


def by_name(quality: Quality) -> dict[str, Figure]:
    return {figure.name: figure for figure in quality.figures}


def differing(quality: Quality) -> set[str]:
    return {figure.name for figure in quality.figures if figure.differs}


def blurred(images: Bytes, radius: float) -> Bytes:
    kernel = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(image).filter(kernel)) for image in images])


def test_an_honest_set_differs_in_nothing(honest: Quality) -> None:
    quality = honest
    assert [figure.name for figure in quality.figures] == NAMES
    assert not differing(quality)
    assert "120 synthetic and 120 held-out real images" in quality.compared
    assert "KID and FID are on no published scale" in quality.extractor
    for figure in quality.figures:
        assert figure.floor is not None
        assert figure.found.low <= figure.found.value <= figure.found.high, figure.name
        assert figure.floor.low <= figure.floor.value <= figure.floor.high, figure.name
        own = NAMES.index(figure.name) < 6  # compared with train
        assert (figure.synthetic, figure.real, figure.patients) == (120, *[300 if own else 120] * 2)


def test_a_blurred_set_is_called_blurred(
    judged: Judge, chests: Callable[[int, int], Bytes]
) -> None:
    quality = judged(blurred(chests(150, 3), 1))
    assert {"sharpness", "high_frequencies"} <= differing(quality)
    sharpness = by_name(quality)["sharpness"]
    assert sharpness.floor is not None
    assert sharpness.found.high < sharpness.floor.low
    assert not {"intensity", "density", "coverage"} & differing(quality)


def test_a_set_of_few_images_over_and_over_misses_real_ones_and_is_less_diverse(
    judged: Judge, chests: Callable[[int, int], Bytes]
) -> None:
    few = np.tile(chests(6, 3), (25, 1, 1))
    assert {"recall", "coverage", "ms_ssim", "kid"} <= differing(judged(few))


def test_a_darker_set_differs_in_intensity(
    judged: Judge, chests: Callable[[int, int], Bytes]
) -> None:
    darker = np.maximum(chests(150, 3).astype(int) - 12, 0).astype(np.uint8)
    found = by_name(judged(darker))
    assert found["intensity"].differs
    assert found["kid"].differs
    assert not found["sharpness"].differs


def test_it_is_the_same_for_any_number_of_threads(
    judged: Judge,
    honest: Quality,
    chests: Callable[[int, int], Bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(os, "process_cpu_count", lambda: 1, raising=False)
    with threadpool_limits(2):
        assert judged(chests(150, 3)) == honest


def test_without_held_out_images_there_is_no_floor_and_with_few_images_nothing(
    make_pictures: MakePictures, chests: Callable[[int, int], Bytes], show: Progress
) -> None:
    train, few = make_pictures(chests(80, 1)), make_pictures(chests(10, 2))
    extractor = pixel_features(train)
    quality = judge_quality(train, train, few, extractor, SETTINGS, show)
    assert [figure.name for figure in quality.figures] == [n for n in NAMES if n != "ms_ssim"]
    assert all(figure.floor is None and not figure.differs for figure in quality.figures)
    assert "too few held-out images" in quality.compared
    nothing = judge_quality(few, train, train, extractor, SETTINGS, show)
    assert nothing.figures == ()
    assert nothing.compared == ""
