from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.checks import Context, fraction
from builder.contract import Bytes, UsageError, tar


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
