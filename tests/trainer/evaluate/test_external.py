from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from builder.contract import UsageError
from trainer.evaluate.external import as_seen_by, external_tests, read_pairs
from trainer.stream.batches import Dataset
from trainer.stream.locate import Located

Elsewhere = Callable[..., Located]


@pytest.fixture
def here(shared: Any) -> Located:
    """The dataset that runs are trained on."""
    found: Located = shared.located()
    return found


@pytest.fixture
def elsewhere(here: Located) -> Elsewhere:
    """The function that gives the dataset of another hospital: (pathologies, **columns)."""

    def make(names: tuple[str, ...] = here.manifest.pathologies, **columns: Any) -> Located:
        index, manifest = here.index, replace(here.manifest, name="there", pathologies=names)
        other = {
            "key": np.array([f"there-{key}" for key in index.key], object),
            "patient": np.array([f"there {patient}" for patient in index.patient], object),
            "labels": np.resize(index.labels, (len(index), len(names))),
        }
        return replace(here, manifest=manifest, index=replace(index, **other | columns))

    return make


def test_labels_are_matched_by_name_or_as_the_user_says(
    here: Located, elsewhere: Elsewhere
) -> None:
    assert here.manifest.pathologies == ("Hernia", "Lung Lesion", "Fracture")
    there = elsewhere(("Edema", "lung_lesion", "Rib fracture"))
    (found,) = external_tests([("there.json", there)], here, ())
    assert (found.name, found.shards) == ("there", "there.json")
    assert found.labels == (("Lung Lesion", "lung_lesion"),)
    (found,) = external_tests([("there.json", elsewhere(("LungLesion",)))], here, ())
    assert found.labels == (("Lung Lesion", "LungLesion"),)
    assert found.left_out == ("Hernia", "Fracture")
    pairs = read_pairs(["fracture=rib_fracture", "Hernia = Edema"])
    (found,) = external_tests([("there.json", there)], here, pairs)
    assert found.labels == (
        ("Hernia", "Edema"), ("Lung Lesion", "lung_lesion"), ("Fracture", "Rib fracture"),
    )  # fmt: skip
    assert found.left_out == ()
    both = elsewhere(("Fracture", "Rib fracture"))
    (found,) = external_tests([("both.json", both)], here, read_pairs(["Fracture=Rib fracture"]))
    assert found.labels == (("Fracture", "Rib fracture"),)


def test_a_pair_serves_the_datasets_that_have_it(here: Located, elsewhere: Elsewhere) -> None:
    one, two = elsewhere(("Rib fracture",)), elsewhere(("Fracture",))
    two = replace(two, manifest=replace(two.manifest, name="two"))
    pairs = read_pairs(["Fracture=Rib fracture"])
    first, second = external_tests([("one.json", one), ("two.json", two)], here, pairs)
    assert (first.labels, second.labels) == (
        (("Fracture", "Rib fracture"),), (("Fracture", "Fracture"),)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "words", "said"),
    [
        (("Edema",), [], "labels none of Hernia, Lung Lesion, Fracture: name what it calls"),
        (("Fracture",), ["Mass=Fracture"], "tiny has no label 'Mass'.* there are Hernia, Lung"),
        (("Fracture",), ["Hernia=Edema"], "No --test dataset has a label 'Edema'.*are Fracture"),
        (("Fracture", "fracture "), [], "has Fracture and fracture  for Fracture: name one"),
        (("A", "B"), ["Hernia=A", "Hernia=B"], "has A and B for Hernia: name one of them"),
        (("A",), ["Hernia=A", "Fracture=A"], "A cannot stand for both Hernia and Fracture"),
    ],
)
def test_labels_that_are_not_clear_are_refused(
    here: Located, elsewhere: Elsewhere, names: tuple[str, ...], words: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        external_tests([("there.json", elsewhere(names))], here, read_pairs(words))


def test_a_name_that_stands_for_another_label_is_not_matched_twice(
    here: Located, elsewhere: Elsewhere
) -> None:
    there = elsewhere(("Fracture", "Edema"))
    (found,) = external_tests([("t.json", there)], here, read_pairs(["Hernia=Fracture"]))
    assert (found.labels, found.left_out) == (
        (("Hernia", "Fracture"),), ("Lung Lesion", "Fracture")
    )  # fmt: skip


@pytest.mark.parametrize("word", ["Fracture", "=Fracture", "Fracture=", "="])
def test_what_is_no_pair_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--test-label takes OURS=THEIRS, such as"):
        read_pairs([word])


def test_images_of_another_size_and_no_test_images_are_refused(
    here: Located, elsewhere: Elsewhere
) -> None:
    there = elsewhere()
    image = replace(there.manifest.image, height=64)
    large = replace(there, manifest=replace(there.manifest, image=image))
    with pytest.raises(UsageError, match=r"--test l.json has images of 64×32 pixels, and tiny has"):
        external_tests([("l.json", large)], here, ())
    split = np.where(here.index.split == "test", "val", here.index.split).astype(object)
    with pytest.raises(UsageError, match=r"there.json has no test images: seal it with a larger"):
        external_tests([("there.json", elsewhere(split=split))], here, ())
    with pytest.raises(UsageError, match=r"t.json is named twice"):
        external_tests([("t.json", there), ("t.json", there)], here, ())


def test_what_the_runs_were_trained_or_chosen_on_is_no_test(
    here: Located, elsewhere: Elsewhere
) -> None:
    index = here.index
    test = np.flatnonzero(index.split == "test")
    for split in ("train", "val"):
        known = np.flatnonzero((index.split == split) & (index.origin == "real"))
        patient = np.array([f"there {p}" for p in index.patient], object)
        patient[test[:3]] = index.patient[known[0]]
        with pytest.raises(UsageError, match="no test of tiny: 3 of its test images are of 1 pati"):
            external_tests([("t.json", elsewhere(patient=patient))], here, ())
        key = np.array([f"there-{k}" for k in index.key], object)
        key[test[0]] = index.key[known[0]]
        with pytest.raises(UsageError, match="1 of its test images are training images by their"):
            external_tests([("t.json", elsewhere(key=key))], here, ())
    own = replace(here, manifest=replace(here.manifest, name="experts"))
    assert external_tests([("experts.json", own)], here, ())  # its own test images may be


def test_pictures_that_look_exactly_alike_are_found_but_not_blank_ones(
    here: Located, elsewhere: Elsewhere
) -> None:
    index = here.index
    sketch = np.random.default_rng(0).integers(0, 256, (len(index), 16), dtype=np.uint8)
    ours = replace(here, index=replace(index, sketch=sketch))
    test, train = (np.flatnonzero(index.split == split)[0] for split in ("test", "train"))
    sketch[train] = 7
    theirs = sketch[::-1].copy() ^ 1
    theirs[test] = 7
    assert external_tests([("t.json", elsewhere(sketch=theirs))], ours, ())
    theirs[test] = sketch[train + 1]
    with pytest.raises(UsageError, match="1 of its test images look exactly like training images"):
        external_tests([("t.json", elsewhere(sketch=theirs))], ours, ())


def test_labels_are_put_in_the_runs_order(
    data: Dataset, here: Located, elsewhere: Elsewhere
) -> None:
    there = elsewhere(("Fracture", "Lung Lesion"))
    (test,) = external_tests([("t.json", there)], here, ())
    opened = replace(data, manifest=there.manifest, index=there.index)
    seen = as_seen_by(opened, test, here.manifest.pathologies)
    assert seen.manifest.pathologies == here.manifest.pathologies
    assert (seen.index.labels[:, 0] == -1).all()
    assert np.array_equal(seen.index.labels[:, 1:], there.index.labels[:, ::-1])
