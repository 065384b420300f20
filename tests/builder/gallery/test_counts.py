from builder.audit.pictures import Sealed
from builder.gallery.counts import count_training


def test_counts_are_those_of_the_training_images(opened: Sealed) -> None:
    found = count_training(opened, synthetic_only=False)
    assert found.real is not None
    assert found.synthetic is not None
    assert found.both is not None
    labels, train = opened.index.labels, opened.index.split == "train"
    assert found.both.images == train.sum() == found.real.images + found.synthetic.images
    for p, row in enumerate(found.both.pairs):
        for q, both in enumerate(row):
            assert both == (train & (labels[:, p] == 1) & (labels[:, q] == 1)).sum()
            assert both == found.real.pairs[p][q] + found.synthetic.pairs[p][q]


def test_the_plan_and_the_counts_agree(opened: Sealed) -> None:
    found = count_training(opened, synthetic_only=False)
    assert found.both is not None
    assert found.planned == (found.both.images - found.planned[1], found.planned[1])
    assert found.share == 0.2
    for target in found.targets:
        place = opened.manifest.pathologies.index(target.pathology)
        assert target.after == found.both.pairs[place][place]
        assert target.after >= found.share * found.both.images


def test_without_real_images_only_the_plan_tells_of_them(opened: Sealed) -> None:
    found = count_training(opened, synthetic_only=True)
    assert (found.real, found.both) == (None, None)
    assert found.synthetic is not None
    assert found.targets
