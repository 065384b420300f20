import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import nn

from builder.contract.radiograph import Reading, read_radiograph
from trainer.cam import Cams, activation_maps, command, sheet
from trainer.cli import main

NAMES = ("Hernia", "Lung Lesion", "Fracture")


def call(*words: object) -> Result:
    few = ("--workers", "1", "--device", "cpu")
    return CliRunner().invoke(main, ["cam", *(str(word) for word in words), *few])


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of six image files."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name in "abcdef":
        noise = rng.integers(0, 256, (40, 50), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"images/{name}.png")
    return tmp_path / "images"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Cams]:
    """What the sheets that are drawn from here on show."""
    found: list[Cams] = []
    monkeypatch.setattr(command, "sheet", lambda cams: found.append(cams) or sheet(cams))
    return found


def test_a_manifest_shows_the_targets_of_its_plan(
    weights: Path, shared: Any, tmp_path: Path, drawn: list[Cams]
) -> None:
    for name in ("new/a.png", "b.png"):
        result = call(weights, shared.path, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert result.stderr == ""
        assert result.stdout == f"Wrote 4 maps to {tmp_path / name}: Lung Lesion.\n"
    assert (tmp_path / "new/a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert drawn[0].pathologies == ("Lung Lesion",)
    assert [cam.split for cam in drawn[0].cams] == ["test", "test", "train", "train"]


def test_what_is_asked_of_a_manifest_is_shown_and_what_is_missing_said(
    weights: Path, shared: Any, tmp_path: Path, drawn: list[Cams]
) -> None:
    words = ("--pathology", "Hernia", "--pathology", "Fracture", "--images", 2, "--split", "val")
    result = call(weights, shared.path, *words, "--out", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert result.stderr == "Hernia: no positive real val images.\n"
    assert [(cam.pathology, cam.origin, cam.split) for cam in drawn[0].cams] == [
        ("Hernia", "synthetic", "train"),
        ("Fracture", "real", "val"),
        ("Fracture", "synthetic", "train"),
    ]


def test_a_manifest_without_any_positive_is_a_sentence(
    weights: Path, sealer: Any, tmp_path: Path
) -> None:
    counts = {("train", "real"): 20, ("val", "real"): 8, ("test", "real"): 8}
    few = sealer(tmp_path / "data", counts=counts)
    words = (weights, few.path, "--pathology", "Hernia", "--out", tmp_path / "a.png")
    refused(call(*words), 2, "tiny has no test image that is positive for Hernia")
    assert not (tmp_path / "a.png").exists()


def test_files_come_as_named_and_a_folder_begins_with_its_first(
    weights: Path, images: Path, tmp_path: Path, drawn: list[Cams], model: nn.Module
) -> None:
    named = [images / f"{name}.png" for name in "fbacd"]
    assert call(weights, *named, "--out", tmp_path / "a.png").exit_code == 0
    assert drawn[0].pathologies == NAMES
    assert [cam.key for cam in drawn[0].of("Fracture")] == [str(path) for path in named]
    assert {cam.origin for cam in drawn[0].cams} == {""}
    pixels = torch.from_numpy(read_radiograph(named[1], 32, Reading()).copy())[None, None]
    maps, probabilities = activation_maps(model, pixels, [2])
    found = drawn[0].of("Fracture")[1]
    assert found.map == pytest.approx(maps[0, 0].numpy(), rel=1e-4, abs=1e-4)
    assert found.probability == pytest.approx(float(probabilities), abs=1e-5)
    words = ("--pathology", "Fracture", "--pathology", "Fracture")
    assert call(weights, images, *words, "--out", tmp_path / "b.png").exit_code == 0
    assert [cam.key for cam in drawn[1].cams] == [f"{name}.png" for name in "abcd"]
    result = call(weights, images, *words, "--images", 5, "--out", tmp_path / "c.png")
    assert "Wrote 5 maps" in result.stdout


def test_an_image_that_cannot_be_read_is_named_or_left_out(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    (images / "b.png").write_bytes(b"no image")
    words = (weights, images, "--out", tmp_path / "a.png")
    refused(call(*words), 1, "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]
    result = call(*words, "--skip-bad")
    assert result.exit_code == 0, result.output
    assert "Wrote 9 maps" in result.stdout
    assert result.stderr == "Left out: b.png: neither PNG, JPEG, TIFF nor DICOM\n"
    words = (weights, images / "b.png", "--out", tmp_path / "none.png", "--skip-bad")
    refused(call(*words), 1, "None of the 1 images can be read")
    assert not (tmp_path / "none.png").exists()


def test_a_sealed_image_that_cannot_be_read_is_named_or_left_out(
    weights: Path, sealed: Any, tmp_path: Path
) -> None:
    index = sealed.index
    for row in np.flatnonzero((index.split == "test") & (index.labels[:, 1] == 1))[1:]:
        path = sealed.root / index.shard[row]
        data = bytearray(path.read_bytes())
        data[index.offset[row] : index.offset[row] + 4] = b"junk"
        path.write_bytes(data)
    sealed.reseal()
    words = (weights, sealed.path, "--images", 12, "--out", tmp_path / "a.png")
    refused(call(*words), 1, "is not readable")
    assert not (tmp_path / "a.png").exists()
    result = call(*words, "--skip-bad")
    assert result.exit_code == 0, result.output
    assert "Left out: real-test-" in result.stderr


def test_an_earlier_sheet_stays_where_the_new_one_fails(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"earlier")
    (images / "a.png").write_bytes(b"no image")
    assert call(weights, images, "--out", tmp_path / "a.png").exit_code == 1
    assert (tmp_path / "a.png").read_bytes() == b"earlier"


def test_what_cannot_be_asked(weights: Path, images: Path, shared: Any, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "a.png")
    refused(call(weights, images, "--out", tmp_path / "a.jpg"), 2, "should end in .png")
    refused(call(weights, shared.path, "--out", tmp_path / "a"), 2, "should end in .png")
    asked = ("--pathology", "Edema")
    refused(call(weights, images, *out, *asked), 2, "knows no 'Edema'", "Hernia, Lung Lesion")
    refused(call(weights, shared.path, *out, *asked), 2, "knows no 'Edema'", "Hernia, Lung Les")
    refused(call(weights, *[images / "a.png"] * 13, *out), 2, "13 images do not fit", "--images")
    refused(call(weights, "a.json", "b.png", *out), 2, "one manifest at a time")
    refused(call(weights, "https://x.org/a.png", *out), 2, "is a URL")
    assert call(weights, images, *out, "--images", 13).exit_code == 2
    assert call(weights, images).exit_code == 2
    assert not (tmp_path / "a.png").exists()


def test_weights_for_other_images_are_refused(
    shared: Any,
    images: Path,
    tmp_path: Path,
    settled: Callable[..., nn.Module],
    save_weights: Callable[..., Path],
) -> None:
    names = [f"P{i}" for i in range(16)]
    model, out = settled(tuple(names)), ("--out", tmp_path / "a.png")

    def save(height: int, width: int) -> Path:
        path = tmp_path / f"{height}x{width}.safetensors"
        return save_weights(path, model, names, height=height, width=width)

    refused(call(save(64, 64), shared.path, *out), 2, "64×64 pixels, and tiny has 32×32")
    refused(call(save(32, 48), images, *out), 2, "32×48 pixels, and files are cut to squares")
    refused(call(save(32, 32), images, *out), 2, "16 pathologies do not fit", "--pathology")
    refused(call(save(32, 32), shared.path, *out), 2, "knows no 'Lung Lesion'")
    junk = tmp_path / "junk.safetensors"
    junk.write_text(json.dumps({}))
    refused(call(junk, images, *out), 1, "not a file that xtrain saved")
    assert call(save(32, 32), images, *out, "--pathology", "P7").exit_code == 0
