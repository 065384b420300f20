from collections.abc import Callable

import numpy as np
import pytest

from builder.audit.matching import compared
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
