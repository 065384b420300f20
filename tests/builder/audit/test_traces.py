from collections.abc import Callable

import numpy as np
import pytest

from builder.audit.features import pixel_features
from builder.audit.traces import SIMPLE, Traced, simple_of, traces_of
from builder.audit.treatments import TREATMENTS
from builder.contract import Bytes

Chests = Callable[[int, int], Bytes]


def trace(images: Bytes, name: str) -> float:
    return float(traces_of(images)[:, [*SIMPLE].index(name)].mean())


def test_each_treatment_leaves_its_trace(chests: Chests) -> None:
    images = chests(20, 1)
    blur, encode = TREATMENTS["blurred"], TREATMENTS["re-encoded"]
    assert blur is not None
    assert encode is not None
    for name in ("sharpness", "high_frequencies", "noise"):
        assert trace(blur(images), name) < trace(images, name) / 2
    smooth = blur(blur(images))
    assert trace(encode(smooth), "block_borders") > 1.1 * trace(smooth, "block_borders")


def test_noise_is_in_grey_values() -> None:
    random = np.random.default_rng(2)
    images = random.normal(128, 10, (10, 64, 64)).clip(0, 255).astype(np.uint8)
    assert trace(images, "noise") == pytest.approx(10, rel=0.05)
    assert trace(images, "contrast") == pytest.approx(10, rel=0.05)
    assert trace(images, "mean_grey") == pytest.approx(127.5, abs=0.3)


def test_borders_and_levels_are_counted() -> None:
    image = np.tile(np.arange(100, 132, 2, dtype=np.uint8), (16, 1))
    image[::2] += 1  # all of the 32 levels
    assert trace(image[None], "grey_levels") == 32
    assert trace(image[None], "missing_levels") == 0
    assert trace(image[None] // 2 * 2, "missing_levels") == pytest.approx(15 / 31)
    assert trace(image[None], "constant_border") == 0
    image[:3], image[:, -1] = 0, 255
    image[:3, -1] = 0
    found = {name: trace(image[None], name) for name in SIMPLE}
    assert found["constant_border"] == pytest.approx(3 / 32)
    assert found["black"] == pytest.approx(3 * 16 / 256)
    assert found["white"] == pytest.approx(13 / 256)
    assert trace(np.full((1, 16, 16), 7, np.uint8), "constant_border") == 1


def test_constant_columns_count_as_rows_do(chests: Chests) -> None:
    images = chests(3, 3)
    images[:, :, :8] = 0
    turned = np.ascontiguousarray(images.transpose(0, 2, 1))
    assert trace(images, "constant_border") == trace(turned, "constant_border") == 8 / 128


@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (64, 64), (70, 50), (300, 260)])
def test_traces_depend_on_the_image_alone(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(4).integers(0, 256, (5, *shape), dtype=np.uint8)
    images[0] = 9  # flat
    every, single = traces_of(images), [traces_of(image[None]) for image in images]
    assert np.isfinite(every).all()
    assert (every == np.concatenate(single)).all()


def test_the_simple_ones_come_first(chests: Chests, make_pictures: Callable[..., object]) -> None:
    images = chests(30, 5)
    traced = Traced(of=pixel_features(make_pictures(images)))  # type: ignore[arg-type]
    features = traced(images)
    assert (simple_of(features) == traces_of(images)[:, : len(SIMPLE)]).all()
    assert features.shape[1] > traces_of(images).shape[1]
    assert "principal components" in traced.identity
