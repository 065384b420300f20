"""Numbers and names as people read them."""

import pytest

from builder.audit.wording import (
    count,
    interval,
    kind_of,
    listed,
    meaning_of,
    number,
    percent,
    plainly,
    title_of,
)
from builder.contract.audit import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (0.00001234, "1.2e−05"),
        (0.01234, "0.0123"),
        (0.5, "0.500"),
        (-0.5, "−0.500"),
        (1.0, "1.000"),
        (1.234, "1.23"),
        (41.26, "41.3"),
        (5000.0, "5,000"),
    ],
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_groups_are_said_as_people_say_them() -> None:
    words = ("ap", "80-", "20-40", "female", "hospital-2")
    assert [*map(kind_of, words)] == ["AP", "80 and over", "20 to 40", "female", "hospital-2"]


def test_an_interval_stands_behind_its_value() -> None:
    assert interval(Interval(value=0.5, low=0.4, high=0.6)) == "0.500 (0.400 to 0.600)"
    assert interval(None) == "–"


def test_a_share_that_is_nearly_all_or_nothing_is_not_rounded_to_it() -> None:
    assert percent(0, 10) == "0 %"
    assert percent(10, 10) == "100 %"
    assert percent(1, 3000) == "0.03 %"
    assert percent(1, 8) == "12.5 %"
    assert percent(99_999, 100_000) == "99.9 %"
    assert percent(1, 0) == "–"


def test_many_words_are_counted() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d and 2 more"
    assert listed(["a", "b"], limit=1) == "a and 1 more"


def test_a_number_of_things() -> None:
    assert count(1, "image") == "1 image"
    assert count(4159, "image") == "4,159 images"
    assert count(2, "repeats", "repeat") == "2 repeat"


def test_exact_terms_are_said_plainly() -> None:
    digest = "a" * 64
    found = plainly(f"DenseNet-121 of xtrain, 1024 pooled features, sha256:{digest}; divided by x")
    assert found == "what the given classifier (DenseNet-121) sees in an image; divided by x"
    assert plainly("efficientnet_b0 of xtrain, last features, sha256:ab").startswith("what the giv")
    assert plainly("label vectors") == "labels"
    assert plainly("something new") == "something new"


def test_a_figure_that_is_not_known_is_said_as_it_is() -> None:
    assert title_of("kid") == "distance (KID)"
    assert title_of("black") == "share of black"
    assert title_of("new_one") == "new one"
    assert meaning_of("new_one") == ""
    assert meaning_of("kid")
