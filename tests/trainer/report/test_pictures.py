import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builder.contract import ImageSpec, Manifest, load_manifest
from builder.contract.weights import WeightsHeader, weights_bytes
from trainer.model import build
from trainer.report.comparison_report import Report
from trainer.report.pictures import pictures
from trainer.report.results import ArmResult, DatasetResult
from trainer.stream.batches import open_dataset


def save_weights(folder: Path, manifest: str, names: Sequence[str], epoch: int = 2) -> None:
    """Write best.safetensors of a network that nobody trained."""
    header = WeightsHeader(
        pathologies=tuple(names),
        image=ImageSpec(height=32, width=32, codec="jpg", quality=95),
        manifest=manifest,
        epoch=epoch,
    )
    model = build(names, init="random", seed=0)
    (folder / "best.safetensors").write_bytes(weights_bytes(model, header))


@pytest.fixture
def manifest(shared: Any) -> Manifest:
    return load_manifest(shared.path)


@pytest.fixture
def dataset(
    shared: Any,
    manifest: Manifest,
    report: Report,
    untrained: Callable[[str], ArmResult],
    tmp_path: Path,
) -> DatasetResult:
    """The result of an arm `none` without runs and of `gan` with one."""
    save_weights(tmp_path, manifest.digest, manifest.pathologies)
    run = next(arm for arm in report.datasets[0].arms if arm.title == "gan").runs[0]
    config = replace(run.config, shards=str(shared.path), shards_root=None)
    run = replace(run, seed=3, folder=str(tmp_path), config=config, best_epoch=2)
    return replace(
        report.datasets[0],
        name="tiny",
        digest=manifest.digest,
        targets=("Lung Lesion", "Fracture"),
        arms=(untrained("none"), replace(untrained("gan"), runs=(run,))),
    )


def with_config(dataset: DatasetResult, **changes: object) -> DatasetResult:
    """The dataset with another config of the run of its last arm."""
    *arms, arm = dataset.arms
    (run,) = arm.runs
    run = replace(run, config=replace(run.config, **changes))
    return replace(dataset, arms=(*arms, replace(arm, runs=(run,))))


def test_images_and_maps_are_of_the_arm_with_synthetic_images(dataset: DatasetResult) -> None:
    (examples, cams), why = pictures(dataset)
    assert why == []
    assert (examples.key, cams.key, examples.dataset) == ("examples", "cams", dataset.digest)
    assert "Arm gan, seed 3. The maps have 1×1 cells." in cams.note
    for picture in (examples, cams):
        with Image.open(io.BytesIO(picture.png)) as image:
            assert min(image.size) > 300
            assert len(image.convert("L").getcolors()) > 50


def test_pictures_are_the_same_each_time(dataset: DatasetResult) -> None:
    assert pictures(dataset) == pictures(dataset)


def test_a_dataset_that_was_moved_is_a_note(dataset: DatasetResult, tmp_path: Path) -> None:
    found, (why,) = pictures(with_config(dataset, shards=str(tmp_path / "moved.json")))
    assert found == []
    said = "tiny: no pictures of images, because the dataset cannot be read: Cannot read"
    assert why.startswith(said)


def test_another_dataset_in_its_place_is_not_shown(dataset: DatasetResult) -> None:
    found, (why,) = pictures(replace(dataset, digest="0" * 64))
    assert found == []
    assert "is another dataset now" in why


def test_without_weights_there_are_no_pictures(dataset: DatasetResult, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").unlink()
    found, (why,) = pictures(dataset)
    assert found == []
    said = "tiny: no pictures of images, because no map of them can be made: "
    assert (
        why
        == f"{said}{tmp_path / 'best.safetensors'} is missing: name the best.safetensors of a run."
    )


@pytest.mark.parametrize(("epoch", "digest"), [(1, None), (2, "0" * 64)])
def test_weights_that_were_not_tested_are_not_shown(
    dataset: DatasetResult, tmp_path: Path, epoch: int, digest: str | None
) -> None:
    names = ["Lung Lesion", "Fracture", "Hernia"]
    save_weights(tmp_path, digest or dataset.digest, names, epoch)
    found, (why,) = pictures(dataset)
    assert found == []
    assert "best.safetensors does not hold the weights of epoch 2 of its run" in why


@pytest.mark.parametrize("names", [["Lung Lesion"], ["Fracture", "Lung Lesion"]], ids=str)
def test_maps_are_of_the_outputs_that_the_weights_name(
    dataset: DatasetResult, tmp_path: Path, names: list[str]
) -> None:
    save_weights(tmp_path, dataset.digest, names)
    found, why = pictures(dataset)
    if len(names) > 1:
        assert len(found) == 2
    else:
        assert "The classifier knows no 'Fracture'" in why[0]


@pytest.mark.parametrize("place", ["shards", "shards_root"])
def test_nothing_is_fetched_that_a_report_names(
    dataset: DatasetResult, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.delattr("trainer.report.pictures.locate_folder")
    url = "https://localhost/manifests/gan1.json"
    found, (why,) = pictures(with_config(dataset, **{place: url}))
    assert found == []
    assert f"because the dataset is at the URL {url}" in why


def test_maps_are_of_an_arm_of_the_datasets_own(dataset: DatasetResult) -> None:
    none, gan = dataset.arms
    arms = (replace(none, lent_by="gan1"), replace(gan, title="flip", name="flip"))
    (_, cams), why = pictures(replace(dataset, arms=arms))
    assert why == []
    assert "Arm flip, seed 3." in cams.note


@pytest.mark.parametrize("skip_bad", [False, True])
def test_an_image_is_skipped_where_the_run_did(
    dataset: DatasetResult, monkeypatch: pytest.MonkeyPatch, skip_bad: bool
) -> None:
    asked = []

    def opened(*parts: Any, **options: Any) -> Any:
        asked.append(options["skip_bad"])
        return open_dataset(*parts, **options)

    monkeypatch.setattr("trainer.report.pictures.open_dataset", opened)
    assert pictures(with_config(dataset, skip_bad=skip_bad))[1] == []
    assert asked == [skip_bad]
