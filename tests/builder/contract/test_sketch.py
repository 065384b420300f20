import numpy as np
import pytest

from builder.contract import Bytes, ImageSpec, decode_image, sketch_distance, sketch_of
from builder.contract.sketch import CODEC_DISTANCE, Sketches
from builder.write.encode import encode


def pixels(height: int, width: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (16, 16), (30, 33), (64, 64), (1100, 1031)])
def test_a_sketch_is_the_mean_of_each_cell(shape: tuple[int, int]) -> None:
    image = pixels(*shape)
    for values in (image, np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8)):
        expected = []
        for i in range(4):
            for j in range(4):
                rows = slice(i * shape[0] // 4, (i + 1) * shape[0] // 4)
                cell = values[rows, j * shape[1] // 4 : (j + 1) * shape[1] // 4]
                expected.append(int(np.floor(cell.mean() + 0.5)))
        assert sketch_of(values).tolist() == expected


@pytest.mark.parametrize("side", [16, 17])
def test_many_are_sketched_as_one_is(side: int) -> None:
    images = [pixels(side, side, seed) for seed in range(5)]
    some = Sketches(7, side, side)
    for image in images:
        some.add(image)
    assert (some.finish() == np.stack([sketch_of(each) for each in images])).all()


def test_halves_are_rounded_up() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[0, :2] = 1  # the mean of the first cell is ½
    assert sketch_of(image).tolist() == [1, *[0] * 15]


def test_views_of_an_image_are_sketched_as_copies_are() -> None:
    image = pixels(40, 60)
    assert (sketch_of(image[::2, 4:44]) == sketch_of(image[::2, 4:44].copy())).all()


@pytest.mark.parametrize("side", [16, 17, 64])
def test_a_codec_changes_a_sketch_by_no_more_than_is_stated(side: int) -> None:
    """Noise, pure black and white, and single bright pixels: the worst that an encoder gets."""
    random = np.random.default_rng(side)
    for kind in range(3):
        for _ in range(100):
            noise = random.random((side, side))
            image = [noise * 256, (noise < 0.5) * 255, (noise < 0.03) * 255][kind].astype(np.uint8)
            jpeg = ImageSpec(height=side, width=side, codec="jpg", quality=95)
            png = ImageSpec(height=side, width=side, codec="png", quality=0)
            decoded = [decode_image(encode(image, spec), spec) for spec in (jpeg, png)]
            found = np.stack([sketch_of(each) for each in decoded])
            distance = sketch_distance(found, np.stack([sketch_of(image)] * 2))
            assert distance[0] <= CODEC_DISTANCE
            assert distance[1] == 0


def test_the_distance_is_the_largest_of_a_cell_in_either_direction() -> None:
    one = np.zeros((3, 16), np.uint8)
    other = one.copy()
    other[1, 5], one[2, 0] = 200, 255
    other[1, 6] = 3
    assert sketch_distance(one, other).tolist() == [0, 200, 255]
    assert sketch_distance(one[:0], other[:0]).tolist() == []
