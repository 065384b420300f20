from dataclasses import replace

from trainer.arms import Controls, controls_of
from trainer.recipe import ARMS
from trainer.stream.batches import Dataset

ONE = Controls(drawn="a", real="r", synthetic=5)
LARGER = Controls(drawn="b", real="r", synthetic=9)  # more images of the same real ones
REDRAWN = Controls(drawn="c", real="r", synthetic=5)  # as many with other labels


def test_arms_of_real_images_are_shared_where_epochs_are_as_long() -> None:
    for arm in ("none", "flip", "classweight", "radiograph"):
        for steps, shared in (("equal", REDRAWN), ("own", LARGER), ("own", REDRAWN)):
            assert ONE.shown_by(arm, steps) == shared.shown_by(arm, steps)
        assert ONE.shown_by(arm, "equal") != LARGER.shown_by(arm, "equal")
        assert ONE.shown_by(arm, "own") != replace(ONE, real="s").shown_by(arm, "own")


def test_oversample_is_shared_with_the_same_label_vectors_and_others_never() -> None:
    assert ONE.shown_by("oversample", "own") != REDRAWN.shown_by("oversample", "own")
    assert ONE.shown_by("oversample", "own") == replace(ONE, real="s").shown_by("oversample", "own")
    assert [arm for arm in ARMS if ONE.shown_by(arm, "own") is None] == ["gan", "pretrain"]


def test_an_earlier_report_knows_no_real_images_alone() -> None:
    early = replace(ONE, real=None)
    assert early.shown_by("none", "own") == early.shown_by("oversample", "own")


def test_the_digests_are_of_shards_and_labels(data: Dataset) -> None:
    manifest, index = data.manifest, data.index
    found = controls_of(manifest, index)
    assert found == controls_of(replace(manifest, name="other"), index)
    assert found.synthetic == 32
    labels = index.labels.copy()
    labels[index.origin == "synthetic"] = 0
    changed = controls_of(manifest, replace(index, labels=labels))
    assert (changed.real, changed.drawn != found.drawn) == (found.real, True)
    first, *rest = manifest.shardlist
    other = (replace(first, sha256="f" * 64), *rest)
    assert controls_of(replace(manifest, shardlist=other), index).real != found.real
