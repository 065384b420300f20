from collections.abc import Callable

from builder.checks.duplicate import duplicates
from builder.contract import Bytes


def test_duplicates_are_found_whatever_the_cuts_and_the_first_stays(
    radiographs: Callable[[int, int], Bytes], noisy: Callable[[Bytes, float], Bytes]
) -> None:
    images = radiographs(40, 0)
    images[7], images[30], images[31] = images[2], noisy(images[5:6], 3)[0], images[30]
    keys = [str(i) for i in range(40)]
    wanted = {"7", "30", "31"}
    for size in (1, 3, 40):
        blocks = ((keys[i : i + size], images[i : i + size]) for i in range(0, 40, size))
        assert duplicates(blocks) == wanted


def test_no_image_has_no_duplicate() -> None:
    assert duplicates([]) == frozenset()
