import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builder.contract import load_manifest
from trainer.model import build, save_weights
from trainer.report.pictures import pictures
from trainer.stream.batches import open_dataset


def weights(folder: Path, manifest: str, names: Sequence[str], epoch: int = 2) -> None:
    """best.safetensors of a network that nobody trained."""
    image = {"height": 32, "width": 32, "codec": "jpg", "quality": 95}
    facts = {"manifest": manifest, "epoch": epoch, "pathologies": names, "image": image}
    model = build(names, init="random", seed=0)
    (folder / "best.safetensors").write_bytes(save_weights(model, facts))


@pytest.fixture
def dataset(shared: Any, tmp_path: Path) -> dict[str, Any]:
    """As in report.json."""
    manifest = load_manifest(shared.path)
    weights(tmp_path, manifest.digest, manifest.pathologies)
    config = {"shards": str(shared.path), "shards_root": None, "seed": 3, "skip_bad": False}
    arm = {"title": "none", "name": "none", "lent_by": None, "runs": []}
    run = {"folder": str(tmp_path), "config": config, "best_epoch": 2}
    gan = {"title": "gan", "name": "gan", "lent_by": None, "runs": [run]}
    return {
        "name": "tiny",
        "digest": manifest.digest,
        "targets": ["Lung Lesion", "Fracture"],
        "arms": [arm, gan],
    }


def test_images_and_maps_are_shown_of_the_arm_with_synthetic_images(dataset: Any):
    (examples, cams), why = pictures(dataset)
    assert why == []
    assert (examples.key, cams.key, examples.dataset) == (
        "examples", "cams", dataset["digest"],
    )  # fmt: skip
    assert "Arm gan, seed 3. The maps have 1×1 cells." in cams.note
    for picture in (examples, cams):
        with Image.open(io.BytesIO(picture.png)) as image:
            assert min(image.size) > 300
            assert len(image.convert("L").getcolors()) > 50


def test_pictures_are_the_same_each_time(dataset: Any):
    assert pictures(dataset) == pictures(dataset)


def test_a_dataset_that_is_elsewhere_is_a_note(dataset: Any, tmp_path: Path):
    run = dataset["arms"][1]["runs"][0]
    run["config"]["shards"] = str(tmp_path / "moved.json")
    found, (why,) = pictures(dataset)
    assert found == []
    assert why.startswith(
        "tiny: no pictures of images, for the dataset cannot be read: Cannot read"
    )


def test_another_dataset_in_its_place_is_not_shown(dataset: Any):
    found, (why,) = pictures(dataset | {"digest": "0" * 64})
    assert found == []
    assert "is another dataset now" in why


def test_without_weights_there_are_no_pictures(dataset: Any, tmp_path: Path):
    (tmp_path / "best.safetensors").unlink()
    found, (why,) = pictures(dataset)
    assert found == []
    assert "cannot be read" in why


@pytest.mark.parametrize("changes", [{"epoch": 1}, {"manifest": "0" * 64}], ids=str)
def test_weights_that_were_not_tested_are_not_shown(dataset: Any, tmp_path: Path, changes: Any):
    facts = {"manifest": dataset["digest"], "names": ["Lung Lesion", "Fracture", "Hernia"]}
    weights(tmp_path, **(facts | changes))
    found, (why,) = pictures(dataset)
    assert found == []
    assert "best.safetensors does not hold the weights of epoch 2 of its run" in why


@pytest.mark.parametrize("names", [["Lung Lesion"], ["Fracture", "Lung Lesion"]], ids=str)
def test_maps_are_of_the_outputs_that_the_weights_name(
    dataset: Any, tmp_path: Path, names: list[str]
):
    weights(tmp_path, dataset["digest"], names)
    found, why = pictures(dataset)
    if len(names) > 1:
        assert len(found) == 2
    else:
        assert "The classifier knows no 'Fracture'" in why[0]


@pytest.mark.parametrize("place", ["shards", "shards_root"])
def test_nothing_is_fetched_that_a_report_names(
    dataset: Any, monkeypatch: pytest.MonkeyPatch, place: str
):
    monkeypatch.delattr("trainer.report.pictures.locate_folder")
    dataset["arms"][1]["runs"][0]["config"][place] = "https://localhost/manifests/gan1.json"
    found, (why,) = pictures(dataset)
    assert found == []
    assert "the dataset is at URL: https://localhost/manifests/gan1.json" in why


def test_maps_are_of_an_arm_of_the_datasets_own(dataset: Any):
    none, gan = dataset["arms"]
    none["lent_by"] = "gan1"
    dataset["arms"] = [none, gan | {"title": "flip", "name": "flip"}]
    (_, cams), why = pictures(dataset)
    assert why == []
    assert "Arm flip, seed 3." in cams.note


@pytest.mark.parametrize("skip_bad", [False, True])
def test_an_image_is_skipped_where_the_run_did(
    dataset: Any, monkeypatch: pytest.MonkeyPatch, skip_bad: bool
):
    asked = []

    def opened(*words: Any, **options: Any) -> Any:
        asked.append(options["skip_bad"])
        return open_dataset(*words, **options)

    monkeypatch.setattr("trainer.report.pictures.open_dataset", opened)
    dataset["arms"][1]["runs"][0]["config"]["skip_bad"] = skip_bad
    assert pictures(dataset)[1] == []
    assert asked == [skip_bad]
