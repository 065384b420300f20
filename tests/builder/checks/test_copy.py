import pickle
from collections.abc import Callable

import numpy as np
import pytest

from builder.checks import Context, find_checks
from builder.checks.copy import load
from builder.contract import Bytes, Labels, UsageError


def no_labels(images: Bytes) -> Labels:
    return np.zeros((len(images), 2), np.int8)


def test_a_copy_of_a_training_image_is_rejected_and_a_new_image_is_not(
    radiographs: Callable[[int, int], Bytes],
    noisy: Callable[[Bytes, float], Bytes],
    packed: Callable[..., Context],
) -> None:
    train, held, fresh = (radiographs(count, seed) for count, seed in ((50, 1), (120, 2), (50, 3)))
    context = packed(train=(train, no_labels(train)), val=(held, no_labels(held)))
    judge = pickle.loads(pickle.dumps(load("").prepared(context, ["Mass"])))
    assert all("near-copy" in reason for reason in judge(noisy(train, 3), []))
    assert sum(map(bool, judge(fresh, []))) <= 3  # one in a hundred of them is expected
    with pytest.raises(UsageError, match=r"needs 1000 held-out images .* val has 120"):
        load("0.001").prepared(context, ["Mass"])


def test_its_identity_has_the_fraction() -> None:
    assert load("").identity == "copy:0.01"
    assert load("0.20").identity == find_checks(["copy:0.2"])[1].identity == "copy:0.2"
    assert load("0.12345649").identity != load("0.12345551").identity  # alike in six digits
    assert load("").needs == ("train", "val")
