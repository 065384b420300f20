from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.checks import ALWAYS, Context, find_checks, fraction
from builder.contract import Bytes, UsageError, tar


def test_the_check_for_empty_images_is_always_there() -> None:
    assert [check.identity for check in find_checks([])] == [ALWAYS]
    assert [check.identity for check in find_checks(["copy:0.2"])] == [ALWAYS, "copy:0.2"]


def test_duplicate_is_no_check_of_a_single_image() -> None:
    assert [check.identity for check in find_checks(["duplicate", "copy"])] == [ALWAYS, "copy:0.01"]


@pytest.mark.parametrize("word", ["beauty", "judge:best.safetensors", "duplicate:1", "", ":"])
def test_an_unknown_check_is_refused_with_those_that_exist(word: str) -> None:
    with pytest.raises(UsageError, match="--check takes classifier, constant, copy, duplicate"):
        find_checks([word])


@pytest.mark.parametrize("argument", ["0", "1", "2", "-0.1", "nan", "much"])
def test_a_fraction_lies_between_0_and_1(argument: str) -> None:
    with pytest.raises(UsageError, match=r"The check copy takes a fraction in \(0, 1\), got"):
        fraction("copy", argument, "0.01")
    assert fraction("copy", "", "0.01") == 0.01


def test_a_context_gives_the_real_images_of_a_split(
    radiographs: Callable[[int, int], Bytes], packed: Callable[..., Context]
) -> None:
    images = radiographs(7, 0)
    labels = np.arange(14, dtype=np.int8).reshape(7, 2) % 2
    context = packed(train=(images, labels), val=(images[:2], labels[:2]))
    paths: list[Path] = []
    members: list[tar.Member] = []
    for path, member in context.members("train"):
        paths.append(path)
        members.append(member)
    order = [*range(0, 7, 2), *range(1, 7, 2)]  # two shards
    assert np.array_equal(context.pixels(members), images[order])
    assert context.labels(members).tolist() == labels[order].tolist()
    assert len({*paths}) == 2
    assert len(list(context.members("val"))) == 2
    assert not list(context.members("test"))
