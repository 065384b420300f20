from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from builder.audit.pictures import Pictures
from builder.audit.sources import ENOUGH, NAMED, sources_here, sources_of
from builder.contract import UsageError

Make = Callable[..., Pictures]


@pytest.fixture
def pictures(make_pictures: Make) -> Pictures:
    """120 images of 60 patients: 60 ap, 55 pa, 5 of unknown view."""
    patients = np.array([f"{i // 2:016x}" for i in range(120)], object)
    made = make_pictures(np.zeros((120, 8, 8), np.uint8), patients=patients)
    view = np.array(["ap"] * 60 + ["pa"] * 55 + [""] * 5, object)
    index = replace(made.sealed.index, view=view)
    return replace(made, sealed=replace(made.sealed, index=index))


def test_two_sources_are_told_from_each_other(pictures: Pictures) -> None:
    (found,), notes = sources_of(pictures, None)
    assert found.kinds == ("ap", "pa")
    assert found.positive[found.known].sum() == 60
    assert found.known.sum() == 115
    assert notes == ()


def test_of_more_sources_each_is_told_from_all_others(pictures: Pictures) -> None:
    keys = pictures.keys.tolist()
    by_three = {key: "ABC"[i % 3] for i, key in enumerate(keys)}
    found, notes = sources_of(pictures, by_three)
    assert [each.kinds for each in found] == [("ap", "pa")]  # 40 are too few
    assert "Too few images of source A, B, C" in notes[0]
    wide = pictures.take(np.tile(np.arange(120), 2))
    found, notes = sources_of(wide, {**by_three, keys[0]: "D"})
    assert [each.kinds for each in found[1:]] == [
        ("B", "other source"),
        ("C", "other source"),
        ("A", "other source"),
    ]
    assert not found[1].known[0]
    assert "source D" in notes[0]


def test_images_of_few_patients_are_no_source(pictures: Pictures) -> None:
    first = pictures.take(np.repeat(np.arange(120), 5))
    sources = {key: "few" if i < 18 else "many" for i, key in enumerate(pictures.keys.tolist())}
    found, notes = sources_of(first, sources)
    assert [each.kinds for each in found] == [("ap", "pa")]
    assert "source few" in notes[0]
    assert f"it takes {ENOUGH} images of 10 patients" in notes[0]


def test_only_the_largest_of_many_sources_are_looked_at(make_pictures: Make) -> None:
    made = make_pictures(np.zeros((230, 8, 8), np.uint8))
    many = made.take(np.concatenate([np.repeat(np.arange(230), 5), np.arange(10)]))
    sources = {key: f"s{i // 10:02d}" for i, key in enumerate(made.keys.tolist())}
    found, notes = sources_of(many, sources)
    assert len(found) == NAMED
    assert found[0].kinds == ("s00", "other source")
    assert found[0].known.all()
    assert f"Only the {NAMED} largest of 23" in notes[0]


def test_of_named_sources_those_of_real_images_of_the_dataset_are_taken(pictures: Pictures) -> None:
    first, second = pictures.keys[:2].tolist()
    named = {first: "Bern", second: "Basel", "real-x": "Bern"}
    assert sources_here(named, pictures.sealed.index) == {first: "Bern", second: "Basel"}
    with pytest.raises(UsageError, match=r"names no real image of this dataset: .* such as real-"):
        sources_here({"real-x": "Bern"}, pictures.sealed.index)
