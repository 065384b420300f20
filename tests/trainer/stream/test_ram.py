import numpy as np
import pytest

from builder.contract import ImageSpec, UsageError
from trainer.stream.ram import Ram, half_of_free, parse_bytes

IMAGE = ImageSpec(height=4, width=5, codec="png", quality=0)


def test_only_what_fits_is_kept_in_the_order_of_the_rows() -> None:
    ram = Ram(np.array([7, 2, 5]), 9, IMAGE, 2 * 20 + 19)
    for row in (5, 2, 7):
        ram.keep(row, np.full((4, 5), row, np.uint8))
    pixels = np.zeros((4, 4, 5), np.uint8)
    found = ram.take(np.array([2, 5, 7, 0]), pixels)
    assert found.tolist() == [True, False, True, False]
    assert pixels[:, 0, 0].tolist() == [2, 0, 7, 0]
    both = np.zeros((2, 4, 5), np.uint8)
    assert ram.take(np.array([7, 2]), both).all()
    assert both[:, 3, 4].tolist() == [7, 2]


def test_what_was_not_kept_is_not_there() -> None:
    ram = Ram(np.array([0, 1]), 2, IMAGE, 1000)
    assert not ram.take(np.array([0, 1]), np.zeros((2, 4, 5), np.uint8)).any()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20 * 10**9),
        ("500M", 5 * 10**8),
        ("1000", 1000),
        ("1.5 kb", 1500),
        ("2tB", 2 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes("--cache", text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "1PB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--cache-size .*is not a size: write it like 20GB"):
        parse_bytes("--cache-size", text)


def test_half_of_the_free_memory_is_some() -> None:
    assert 1 << 20 < half_of_free() < 1 << 45
