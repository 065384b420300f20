from collections.abc import Callable
from dataclasses import replace

import numpy as np

from builder.audit.pictures import Pictures
from builder.audit.rare import LISTED, judge_rare
from builder.audit.settings import Settings

Make = Callable[..., Pictures]


def of(make: Make, rows: list[tuple[int, ...]], patients: str = "") -> Pictures:
    images = np.zeros((len(rows), 8, 8), np.uint8)
    labels = np.array(rows, np.int8)
    if not patients:
        return make(images, labels=labels, origin="synthetic")
    return make(images, labels=labels, patients=np.array([*patients], object))


def test_patients_count_and_not_their_images(make_pictures: Make) -> None:
    train = of(make_pictures, [(1, 0)] * 4 + [(0, 1)] * 3 + [(1, 1)], "aaab" + "abc" + "d")
    synthetic = of(make_pictures, [(1, 0)] * 5 + [(0, 1)] * 7 + [(1, 1)] * 2 + [(1, -1)])
    found = judge_rare(synthetic, train, settings=replace(Settings(), fewer_than=3))
    assert found.fewer_than == 3
    assert found.vectors == 3
    assert found.synthetic == 5 + 2 + 1
    assert found.listed == (
        (("P0", "P1 (unknown)"), 0, 1),  # nobody has it
        (("P0", "P1"), 1, 2),
        (("P0",), 2, 5),  # four images of two patients
    )


def test_what_no_synthetic_image_has_is_not_listed(make_pictures: Make) -> None:
    train = of(make_pictures, [(1, 0), (0, 1)], "ab")
    found = judge_rare(of(make_pictures, [(0, 1)]), train, settings=Settings())
    assert [words for words, _, _ in found.listed] == [("P1",)]
    none = judge_rare(
        of(make_pictures, [(0, 1)]), train, settings=replace(Settings(), fewer_than=1)
    )
    assert (none.vectors, none.synthetic, none.listed) == (0, 0, ())


def test_the_list_is_bounded_and_the_counts_are_not(make_pictures: Make) -> None:
    rows = [tuple(int(bit) for bit in f"{number:08b}") for number in range(LISTED + 20)]
    found = judge_rare(
        of(make_pictures, rows), of(make_pictures, rows[:1], "a"), settings=Settings()
    )
    assert len(found.listed) == LISTED
    assert found.vectors == found.synthetic == LISTED + 20
