import numpy as np
import pytest

from builder.checks.constant import load, reasons_against
from builder.contract import UsageError


def test_nearly_constant_images_are_rejected() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    images[:, 0, 0] = (0, 7, 8)
    reason = "its pixels are all nearly the same"
    assert reasons_against(images, []) == [reason, reason, ""]


def test_bright_images_do_not_overflow() -> None:
    assert reasons_against(np.full((1, 4, 4), 255, np.uint8), [])[0]


def test_it_takes_no_argument() -> None:
    with pytest.raises(UsageError, match="takes no argument, got '1'"):
        load("1")
