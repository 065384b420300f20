import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builder.contract import load_manifest
from trainer.model import build, save_weights
from trainer.remote import Cache
from trainer.report.pictures import pictures


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(folder=tmp_path / "cache", most_bytes=10**9)


@pytest.fixture
def dataset(shared: Any, tmp_path: Path) -> dict[str, Any]:
    """As in report.json, of a network that nobody trained."""
    manifest = load_manifest(shared.path)
    image = {"height": 32, "width": 32, "codec": "jpg", "quality": 95}
    facts = {"pathologies": manifest.pathologies, "image": image}
    model = build(manifest.pathologies, init="random", seed=0)
    (tmp_path / "best.safetensors").write_bytes(save_weights(model, facts))
    config = {"shards": str(shared.path), "shards_root": None, "seed": 3}
    arm = {"title": "none", "name": "none", "runs": []}
    run = {"folder": str(tmp_path), "config": config}
    gan = {"title": "gan", "name": "gan", "runs": [run]}
    return {
        "name": "tiny",
        "digest": manifest.digest,
        "targets": ["Lung Lesion", "Fracture"],
        "arms": [arm, gan],
    }


def test_images_and_maps_are_shown_of_the_arm_with_synthetic_images(dataset: Any, cache: Cache):
    (examples, cams), why = pictures(dataset, cache)
    assert why == []
    assert (examples.key, cams.key, examples.dataset) == ("examples", "cams", "tiny")
    assert "Arm gan, seed 3. The maps have 1×1 cells." in cams.note
    for picture in (examples, cams):
        with Image.open(io.BytesIO(picture.png)) as image:
            assert min(image.size) > 300
            assert len(image.convert("L").getcolors()) > 50


def test_pictures_are_the_same_each_time(dataset: Any, cache: Cache):
    assert pictures(dataset, cache) == pictures(dataset, cache)


def test_a_dataset_that_is_elsewhere_is_a_note(dataset: Any, cache: Cache, tmp_path: Path):
    run = dataset["arms"][1]["runs"][0]
    run["config"]["shards"] = str(tmp_path / "moved.json")
    found, (why,) = pictures(dataset, cache)
    assert found == []
    assert why.startswith(
        "tiny: no pictures of images, for the dataset cannot be read: Cannot read"
    )


def test_another_dataset_in_its_place_is_not_shown(dataset: Any, cache: Cache):
    found, (why,) = pictures(dataset | {"digest": "0" * 64}, cache)
    assert found == []
    assert "is another dataset now" in why


def test_without_weights_there_are_no_pictures(dataset: Any, cache: Cache, tmp_path: Path):
    (tmp_path / "best.safetensors").unlink()
    found, (why,) = pictures(dataset, cache)
    assert found == []
    assert "cannot be read" in why
