from itertools import pairwise

import numpy as np
import pytest

from builder.audit.pictures import Sealed
from builder.contract import UsageError
from builder.gallery.samples import samples_of


def test_every_sample_is_there_once_and_synthetic_ones_come_first(opened: Sealed) -> None:
    rows = samples_of(opened, synthetic_only=False)
    assert sorted(rows.tolist()) == [*range(len(opened.index))]
    origins = opened.index.origin[rows].tolist()
    assert origins == sorted(origins, reverse=True)
    words = [*zip(origins, opened.index.split[rows], opened.index.target[rows], strict=True)]
    changes = sum(one != other for one, other in pairwise(words))
    assert changes == len(set(words)) - 1  # each origin, split and target lies in one stretch


def test_positives_of_the_rarest_pathology_lie_in_one_stretch(opened: Sealed) -> None:
    rows = samples_of(opened, synthetic_only=False)
    mine = rows[(opened.index.origin[rows] == "real") & (opened.index.split[rows] == "train")]
    rarest = (opened.index.labels == 1).sum(axis=0).argmin()
    positive = opened.index.labels[mine, rarest] == 1
    assert positive.any()
    assert positive[: positive.sum()].all()


def test_synthetic_only_leaves_out_every_real_image(opened: Sealed) -> None:
    rows = samples_of(opened, synthetic_only=True)
    assert set(opened.index.origin[rows]) == {"synthetic"}
    assert len(rows) == (opened.index.origin == "synthetic").sum()


def test_synthetic_only_of_real_images_alone_is_refused(opened: Sealed) -> None:
    real = np.full(len(opened.index), "real", object)
    index = type(opened.index)(
        **{
            name: real if name == "origin" else getattr(opened.index, name)
            for name in opened.index.__slots__
        }
    )
    only = Sealed(manifest=opened.manifest, root=opened.root, index=index)
    with pytest.raises(UsageError, match="no synthetic images: leave out --synthetic-only"):
        samples_of(only, synthetic_only=True)
