"""Which check a name means."""

import pytest

from builder.checks import ALWAYS, find_checks
from builder.contract import UsageError


def test_the_check_for_empty_images_is_always_there() -> None:
    assert [check.identity for check in find_checks([])] == [ALWAYS]
    assert [check.identity for check in find_checks(["copy:0.2"])] == [ALWAYS, "copy:0.2"]


def test_duplicate_is_no_check_of_a_single_image() -> None:
    assert [check.identity for check in find_checks(["duplicate", "copy"])] == [ALWAYS, "copy:0.01"]


@pytest.mark.parametrize("word", ["beauty", "judge:best.safetensors", "duplicate:1", "", ":"])
def test_an_unknown_check_is_refused_with_those_that_exist(word: str) -> None:
    with pytest.raises(UsageError, match="--check takes classifier, constant, copy, duplicate"):
        find_checks([word])
