from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from builder.contract import CheckError, UsageError, load_index
from trainer.cam import Cam, activation_maps, cams_of
from trainer.stream.batches import Dataset, batches, open_dataset

NAMES = ("Hernia", "Lung Lesion", "Fracture")


def labels_of(data: Dataset, cam: Cam) -> np.ndarray:
    return data.index.labels[np.flatnonzero(data.index.key == cam.key)[0]]


def test_half_are_real_of_the_split_and_half_were_rendered_for_it(
    data: Dataset, model: nn.Module
) -> None:
    found = cams_of(data, model, ["Lung Lesion"], images=6)
    assert [(cam.origin, cam.split) for cam in found.cams] == (
        [("real", "test")] * 3 + [("synthetic", "train")] * 3
    )
    assert len({cam.key for cam in found.cams}) == 6
    assert all(labels_of(data, cam)[1] == 1 for cam in found.cams[:3])
    assert found.notes == {}
    assert found.skipped == ()
    odd = cams_of(data, model, ["Lung Lesion"], images=5, split="val")
    assert [cam.origin for cam in odd.cams] == ["real"] * 3 + ["synthetic"] * 2
    assert {cam.split for cam in odd.cams[:3]} == {"val"}
    assert cams_of(data, model, ["Lung Lesion"], images=1).cams[0].origin == "real"


def test_maps_and_probabilities_are_those_of_the_image(data: Dataset, model: nn.Module) -> None:
    names = ["Fracture", "Lung Lesion"]
    cams = cams_of(data, model, names, images=12, workers=2).cams
    assert [cam.pathology for cam in cams] == sorted(cam.pathology for cam in cams)
    for cam in cams:
        row = np.flatnonzero(data.index.key == cam.key)
        [batch] = batches(data, row, size=1, workers=1, what="test")
        number = NAMES.index(cam.pathology)
        maps, probabilities = activation_maps(model, batch.images, [number])
        assert (cam.image == batch.images[0, 0].numpy()).all()
        assert cam.map == pytest.approx(maps[0, 0].numpy(), rel=1e-4, abs=1e-4)
        assert cam.probability == pytest.approx(float(probabilities), abs=1e-5)
        assert (cam.origin, cam.split) == (data.index.origin[row[0]], data.index.split[row[0]])


def test_no_score_has_a_part_in_the_choice(
    data: Dataset, model: nn.Module, settled: Callable[..., nn.Module]
) -> None:
    def keys(model: nn.Module, name: str) -> list[str]:
        return [cam.key for cam in cams_of(data, model, [name], images=8).cams]

    other = settled()
    other.get_parameter("classifier.weight").data *= -1
    assert keys(model, "Fracture") == keys(other, "Fracture")
    real = [key for key in keys(model, "Fracture") if key.startswith("real")]
    assert real != sorted(real)  # not simply the first ones
    assert keys(model, "Fracture")[:3] != keys(model, "Lung Lesion")[:3]


def test_what_was_rendered_for_another_counts_where_nothing_was_for_it(
    data: Dataset, model: nn.Module
) -> None:
    found = cams_of(data, model, ["Fracture", "Hernia"], images=4)
    made = [cam for cam in found.cams if cam.origin == "synthetic"]
    assert all(labels_of(data, cam)[NAMES.index(cam.pathology)] == 1 for cam in made)
    assert {cam.pathology for cam in made} == {"Fracture", "Hernia"}
    assert found.notes == {"Hernia": "no positive real test images"}
    assert [cam.origin for cam in found.of("Hernia")] == ["synthetic"] * 2


def test_real_ones_take_the_place_of_synthetic_ones(
    sealer: Any, model: nn.Module, tmp_path: Path
) -> None:
    counts = {("train", "real"): 20, ("val", "real"): 8, ("test", "real"): 20}
    sealed = sealer(tmp_path, counts=counts)
    index = load_index(sealed.manifest, sealed.root)
    with open_dataset(sealed.located(index), workers=1) as data:
        found = cams_of(data, model, ["Fracture", "Hernia"], images=4)
        assert [(cam.pathology, cam.origin) for cam in found.cams] == [("Fracture", "real")] * 4
        assert found.notes == {"Hernia": "no positive real test images"}
        positive = int((index.labels[index.split == "test", 2] == 1).sum())
        many = cams_of(data, model, ["Fracture"], images=12)
        assert len(many.cams) == positive < 12
        assert many.notes == {"Fracture": f"{positive} positive real test images"}
        assert cams_of(data, model, []).cams == ()


def test_outputs_are_found_by_name(data: Dataset, model: nn.Module) -> None:
    names = ("Fracture", "Lung Lesion", "Mass")  # of a model for another dataset
    first = cams_of(data, model, ["Lung Lesion"]).cams[0]
    other = cams_of(data, model, ["Fracture"], outputs=["Mass", "Fracture", "Lung Lesion"])
    assert len(other.cams) == 4
    assert cams_of(data, model, ["Lung Lesion", "Lung Lesion"], outputs=names).cams[0].map == (
        pytest.approx(first.map, rel=1e-4)
    )
    with pytest.raises(UsageError, match="classifier knows no 'Edema': choose from Hernia, Lung"):
        cams_of(data, model, ["Edema"])
    with pytest.raises(UsageError, match="tiny knows no 'Mass': choose from Hernia, Lung Lesion"):
        cams_of(data, model, ["Mass"], outputs=names)


def test_weights_without_sense_are_refused(
    data: Dataset, settled: Callable[..., nn.Module]
) -> None:
    broken = settled()
    broken.get_parameter("classifier.weight").data[1] = torch.nan
    with pytest.raises(CheckError, match="maps of these weights are not all finite"):
        cams_of(data, broken, ["Lung Lesion"])
