from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from builder.audit.matching import ENOUGH, alike, compared, labels_of
from builder.audit.pictures import Pictures
from builder.contract import Bytes, Labels

Make = Callable[..., Pictures]


@pytest.fixture(scope="module")
def make(make_pictures: Callable[..., Pictures]) -> Make:
    """Pictures of 8×8 pixels, by label vectors and patients."""

    def made(labels: list[tuple[int, int]], patients: list[int] | None = None) -> Pictures:
        images: Bytes = np.zeros((len(labels), 8, 8), np.uint8)
        vectors: Labels = np.array(labels, np.int8)
        people = None if patients is None else np.array([f"p{i}" for i in patients], object)
        origin = "synthetic" if patients is None else "real"
        return make_pictures(images, labels=vectors, patients=people, origin=origin)

    return made


def test_the_two_of_a_pair_have_the_same_labels(make: Make) -> None:
    synthetic = make([(1, 0)] * 90 + [(1, 1)] * 60 + [(0, 1)] * 5)
    held_out = make([(0, 0)] * 200 + [(1, 0)] * 40 + [(1, 1)] * 70, [*range(310)])
    train = make([(0, 0)] * 50 + [(1, 0)] * 30 + [(1, 1)] * 30, [*range(1000, 1110)])
    found = compared(synthetic, train, held_out, 5000, 0)
    assert found is not None
    assert found.held_out is not None
    assert len(found.synthetic) == len(found.held_out) == 40 + 60
    assert np.array_equal(found.synthetic.labels, found.held_out.labels)
    same = found.strata[:, None] == found.strata
    assert np.array_equal(same, (found.synthetic.labels[:, None] == found.synthetic.labels).all(2))
    assert len({*found.synthetic.keys}) == 100
    assert len(found.train) == 60  # none with (0, 0)
    assert found.labels == "label vectors"
    assert found.words == (
        "100 synthetic and 100 held-out real images with the same label vectors, each with 60 real "
        "training images; one image of each patient"
    )


def test_one_image_of_each_patient_that_with_the_rarest_labels(make: Make) -> None:
    synthetic = make([(1, 0)] * 200 + [(0, 0)] * 200)
    real = [(0, 0)] * 200 + [(1, 0)] * 70
    held_out, train = make(real, [i % 100 for i in range(270)]), make(real, [*range(200, 470)])
    found = compared(synthetic, train, held_out, 5000, 0)
    assert found is not None
    assert found.held_out is not None
    assert len({*found.held_out.patients}) == len(found.held_out) == 100
    assert found.held_out.labels[:, 0].sum() == 70


def test_a_sample_is_no_larger_than_asked_for_and_the_seed_fixes_it(make: Make) -> None:
    synthetic = make([(1, 0)] * 200)
    real = make([(1, 0)] * 300, [*range(300)])
    found = [compared(synthetic, real, real, 60, seed) for seed in (0, 0, 1)]
    assert [len(part.synthetic) for part in found if part] == [60] * 3
    assert [len(part.train) for part in found if part] == [60] * 3
    keys = [part.synthetic.keys.tolist() for part in found if part]
    assert keys[0] == keys[1] != keys[2]


def test_labels_are_left_aside_where_too_few_are_the_same(make: Make) -> None:
    synthetic = make([(1, 1)] * 80)
    held_out, train = make([(0, 0)] * 70, [*range(70)]), make([(0, 1)] * 60, [*range(70, 130)])
    found = compared(synthetic, train, held_out, 5000, 0)
    assert found is not None
    assert found.held_out is not None
    assert len(found.synthetic) == len(found.held_out) == 70
    assert found.labels == ""
    assert "whose labels differ" in found.words


def test_without_held_out_patients_there_is_no_floor_and_without_train_nothing(make: Make) -> None:
    synthetic = make([(1, 1)] * 80)
    few, train = make([(1, 1)] * 80, [i % 9 for i in range(80)]), make([(1, 1)] * 60, [*range(60)])
    found = compared(synthetic, train, few, 5000, 0)
    assert found is not None
    assert found.held_out is None
    assert len(found.synthetic) == 80
    assert "too few held-out images" in found.words
    assert compared(synthetic, few, train, 5000, 0) is None
    assert compared(make([(1, 1)] * 9), train, train, 5000, 0) is None


@pytest.fixture
def labelled(make_pictures: Callable[..., Pictures]) -> Callable[[list[tuple[int, ...]]], Pictures]:
    """Pictures of given label vectors."""

    def make(rows: list[tuple[int, ...]]) -> Pictures:
        labels: Labels = np.array(rows, np.int8)
        return make_pictures(np.zeros((len(rows), 8, 8), np.uint8), labels=labels)

    return make


Labelled = Callable[[list[tuple[int, ...]]], Pictures]


def test_pairs_have_equal_labels_and_nobody_is_there_twice(labelled: Labelled) -> None:
    one = labelled([(1, 0)] * 5 + [(0, 1)] * 20 + [(1, 1)] * 3)
    other = labelled([(0, 1)] * 4 + [(1, 0)] * 9 + [(0, 0)] * 6)
    found = alike(one, other, ("P0",), size=100, seed=0)
    assert found.what == "label vectors"
    assert (found.first.labels == found.second.labels).all()
    assert len(found.first) == 5 + 4
    for part in (found.first, found.second):
        assert len({*part.rows.tolist()}) == 9
    fewer = alike(one, other, ("P0",), size=6, seed=0)
    assert (fewer.first.labels == fewer.second.labels).all()
    assert len(fewer.first) == 6
    again = alike(one, other, ("P0",), size=6, seed=0)
    assert (again.first.rows == fewer.first.rows).all()
    assert (alike(one, other, (), 6, seed=1).second.rows != fewer.second.rows).any()


def test_where_few_vectors_are_equal_targets_are(labelled: Labelled) -> None:
    one = labelled([(1, 0)] * 20 + [(1, 1)] * 2)
    other = labelled([(1, 1)] * 2 + [(1, -1)] * 20)
    found = alike(one, other, ("P0",), size=100, seed=0)
    assert found.what == "labels for the targets"
    assert len(found.first) == 22
    assert (found.first.labels[:, 0] == found.second.labels[:, 0]).all()


def test_pairs_that_are_too_few_to_be_judged_are_given_up_where_other_images_are_enough(
    labelled: Labelled,
) -> None:
    one = labelled([(1, 0)] * 100)
    for equal, what in ((40, "nothing"), (ENOUGH - 1, "nothing"), (ENOUGH, "label vectors")):
        other = labelled([(1, 0)] * equal + [(0, 1)] * (62 - equal))
        found = alike(one, other, ("P0",), size=5000, seed=0)
        assert found.what == what
        assert min(len(found.first), len(found.second)) >= ENOUGH


def test_where_no_labels_are_equal_a_sample_is_taken(labelled: Labelled) -> None:
    found = alike(labelled([(1, 0)] * 20), labelled([(0, 1)] * 12), ("P0",), size=15, seed=0)
    assert found.what == "nothing"
    assert (len(found.first), len(found.second)) == (15, 12)


def test_labels_go_by_their_names(labelled: Labelled) -> None:
    pictures = labelled([(1, 0), (-1, 1)])
    assert labels_of(pictures, ("P1", "P9", "P0")).tolist() == [[0, -1, 1], [1, -1, -1]]
    manifest = replace(pictures.sealed.manifest, pathologies=("P1", "P0"))
    turned = replace(pictures, sealed=replace(pictures.sealed, manifest=manifest))
    assert alike(labelled([(0, 1), (1, -1)]), turned, (), 9, 0).what == "label vectors"
