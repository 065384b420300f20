from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from builder.audit.alike import alike, labels_of
from builder.audit.pictures import Pictures
from builder.contract import Labels


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
    assert found.what == "targets"
    assert len(found.first) == 22
    assert (found.first.labels[:, 0] == found.second.labels[:, 0]).all()


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
