"""How many images a plan takes, and advice that works."""

from fractions import Fraction
from math import inf

import numpy as np
import pytest

from builder.contract import UsageError
from builder.plan import plan_balance
from builder.plan.needed import expect, images_needed

SHARE = Fraction(15, 100)


def eight(healthy: int, each: int) -> np.ndarray:
    """Labels of eight findings, each in `each` rows, that never come together."""
    rows = np.kron(np.eye(8, dtype=np.int8), np.ones((each, 1), dtype=np.int8))
    return np.vstack([rows, np.zeros((healthy, 8), dtype=np.int8)])


def test_the_number_is_expected_of_draws_and_exact_of_targets_alone() -> None:
    labels = np.zeros((200, 2), dtype=np.int8)
    labels[:10] = 1  # the two always come together
    expected = images_needed(labels == 1, SHARE, "lp")
    assert expected == pytest.approx(20 / 0.85)  # (30 − 10) / (1 − 0.15)
    assert images_needed(labels == 1, SHARE, "alone") == 58  # 29 of 258 and 10 reach 0.15
    found = expect(labels == 1, SHARE)
    assert found is not None
    assert found.images == expected


def test_none_and_infinitely_many() -> None:
    assert images_needed(np.ones((3, 1), dtype=bool), SHARE, "alone") == 0
    assert images_needed(eight(184, 2) == 1, SHARE, "lp") == inf
    assert images_needed(eight(184, 2) == 1, SHARE, "alone") == inf


def test_advice_works_where_each_image_shows_one_target() -> None:
    names = [f"T{i}" for i in range(8)]
    with pytest.raises(UsageError, match="no number of images is enough") as caught:
        plan_balance(eight(184, 2), targets=range(8), share=SHARE, names=names, vectors="alone")
    text = str(caught.value)
    assert "--vectors" not in text  # draws would not do either
    share = Fraction(text.split("--share to ")[1].split(",")[0])
    assert plan_balance(eight(184, 2), targets=range(8), share=share, vectors="alone").synthetic
    some = [int(word.split("'")[1][1:]) for word in text.split("--target ")[1:]]
    assert 0 < len(some) < 8
    assert plan_balance(eight(184, 2), targets=some, share=SHARE, vectors="alone").synthetic


def test_draws_are_advised_where_they_do_what_targets_alone_cannot() -> None:
    labels = np.zeros((100, 7), dtype=np.int8)
    labels[:5] = 1
    with pytest.raises(UsageError, match="images by --vectors lp") as caught:
        plan_balance(labels, targets=range(7), share=SHARE, vectors="alone")
    assert "no number of images is enough" in str(caught.value)
    assert plan_balance(labels, targets=range(7), share=SHARE, vectors="lp").synthetic == 12
