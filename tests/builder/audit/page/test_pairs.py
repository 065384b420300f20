"""Pictures of suspects beside what they repeat."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from builder.audit.page.pairs import MAX_SIDE, Pair, pairs_of, src
from builder.audit.pictures import Pictures
from builder.contract.audit import Suspect

MakePictures = Callable[..., Pictures]
Chests = Callable[[int, int], npt.NDArray[np.uint8]]


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def suspects_of(images: Pictures, others: Pictures) -> list[Suspect]:
    pairs = ((2, 1), (0, 3), (1, 1))
    return [
        Suspect(key=images.keys[i], of=others.keys[j], similarity=1 - k / 10)
        for k, (i, j) in enumerate(pairs)
    ]


def test_each_suspect_stands_beside_its_image_in_order(
    make_pictures: MakePictures, chests: Chests
) -> None:
    left, right = chests(3, 0), chests(4, 1)
    images, others = make_pictures(left, origin="synthetic"), make_pictures(right)
    suspects = suspects_of(images, others)
    found = pairs_of(suspects, images, others, limit=30)
    assert [pair.suspect for pair in found] == suspects
    for pair, (i, j) in zip(found, ((2, 1), (0, 3), (1, 1)), strict=True):
        assert (pixels(pair.image) == left[i]).all()
        assert (pixels(pair.of) == right[j]).all()
    assert pairs_of(suspects, images, others, limit=2) == found[:2]


def test_an_unknown_key_has_no_picture(make_pictures: MakePictures, chests: Chests) -> None:
    images = make_pictures(chests(2, 0))
    unknown = Suspect(key=images.keys[0], of="real-elsewhere", similarity=1.0)
    assert pairs_of([unknown], images, images, limit=9) == ()
    assert pairs_of([], images, images, limit=9) == ()


def test_a_large_image_is_made_smaller(make_pictures: MakePictures) -> None:
    images = make_pictures(np.full((1, 300, 600), 77, np.uint8))
    suspect = Suspect(key=images.keys[0], of=images.keys[0], similarity=1.0)
    (pair,) = pairs_of([suspect], images, images, limit=1)
    assert pixels(pair.image).shape == (MAX_SIDE // 2, MAX_SIDE)
    assert (pixels(pair.image) == 77).all()
    assert isinstance(pair, Pair)
    assert src(pair.of).startswith("data:image/png;base64,iVBOR")
