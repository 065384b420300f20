import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import nn

from builder.contract import CheckError, UsageError, load_index
from builder.contract.radiograph import read_radiograph
from trainer import cam as module
from trainer.cam import Cam, Cams, activation_maps, cams_of, overlay, pictures, sheet
from trainer.cli import main
from trainer.model import build, save_weights
from trainer.shards import Folder
from trainer.stream import Dataset, batches, open_dataset, scale

NAMES = ("Hernia", "Lung Lesion", "Fracture")  # as in the datasets of conftest


def settled(side: int, names: tuple[str, ...] = NAMES) -> nn.Module:
    """A network that answers each image differently."""
    model = build(names, init="random", seed=3)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    model(scale(blots(16, side)))  # moments that fit
    nn.init.normal_(model.get_parameter("classifier.bias"), std=0.5)
    return model.eval()


def blots(count: int, height: int, width: int | None = None) -> torch.Tensor:
    coarse = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    grown = nn.functional.interpolate(255 * coarse, (height, width or height), mode="bilinear")
    return grown.to(torch.uint8)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return settled(32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, model: nn.Module) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    facts = {"pathologies": list(NAMES), "image": {"height": 32, "width": 32}}
    path.write_bytes(save_weights(model, facts))
    return path


# --- maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (96, 64), (224, 224)])
def test_the_mean_of_a_map_plus_the_bias_is_the_logit(model: nn.Module, height: int, width: int):
    images = blots(3, height, width)
    with torch.inference_mode():
        logits = model(scale(images))[:, [2, 0]]
        bias = model.get_parameter("classifier.bias")[[2, 0]]
    maps, probabilities = activation_maps(model, images, [2, 0])
    assert maps.shape == (3, 2, height // 32, width // 32)
    assert maps.dtype == probabilities.dtype == torch.float32
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + bias, logits)
    torch.testing.assert_close(probabilities, torch.sigmoid(logits))
    assert logits.std() > 0.05  # or the test shows nothing


def test_a_network_in_training_is_asked_as_if_it_were_not():
    fresh = settled(32)
    expected = activation_maps(fresh, blots(2, 32), [1])
    found = activation_maps(fresh.train(), blots(2, 32), [1])
    torch.testing.assert_close(found, expected)
    assert not fresh.training


def squares(count: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Noise of 2×2 cells, half of it with a bright square in one cell: images, whether, where."""
    images = 60 + 60 * torch.rand(count, 1, 64, 64, generator=generator)
    there = torch.arange(count) % 2
    cells = torch.randint(0, 4, (count,), generator=generator)
    for image, one, cell in zip(images, there.tolist(), cells.tolist(), strict=True):
        top, left = (32 * at + 8 for at in divmod(cell, 2))
        image[:, top : top + 16, left : left + 16] += 100 * one
    return images.to(torch.uint8), there, cells


def test_a_network_that_learned_to_see_a_square_shows_where_it_is():
    generator = torch.Generator().manual_seed(0)
    model = build(["Square"], init="random", seed=0).train()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.3  # there are few steps
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(12):
        images, there, _ = squares(16, generator)
        logits = model(scale(images))[:, 0]
        adam.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logits, there.float()).backward()
        adam.step()
    images, there, cells = squares(40, generator)
    maps, probabilities = activation_maps(model, images, [0])
    assert ((probabilities[:, 0] > 0.5) == there.bool()).float().mean() > 0.9
    lit = maps[there == 1, 0].flatten(1)
    assert (lit.argmax(dim=1) == cells[there == 1]).float().mean() > 0.9
    assert (lit.amax(dim=1) > 0).float().mean() > 0.9  # it speaks for the square
    assert maps[there == 0].mean() < 0  # and its absence against it


class Bright(nn.Module):
    """A network of one feature: how bright a cell of 8 pixels is; it speaks for 0, against 1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.AvgPool2d(8)
        self.classifier = nn.Linear(1, 2)
        self.classifier.weight.data = torch.tensor([[0.01], [-0.01]])
        self.classifier.bias.data = torch.tensor([-2.0, 2.0])


def test_a_bright_square_lights_up_where_it_is():
    images = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    images[..., 8:16, 24:32] = 255
    maps, probabilities = activation_maps(Bright(), images, [0, 1])
    expected = torch.zeros(4, 4)
    expected[1, 3] = 10.24  # the dark is cut off, as by the network's own relu
    torch.testing.assert_close(maps[0], torch.stack([expected, -expected]))
    assert probabilities[0].tolist() == pytest.approx([0.2042, 0.7958], abs=1e-4)
    colours = overlay(images[0, 0].numpy(), maps[0, 0].numpy(), 10.24).astype(int)
    warm = colours[..., 0] - colours[..., 2]
    assert np.argwhere(warm == warm.max()).mean(axis=0) == pytest.approx((11.5, 27.5), abs=2.1)
    assert not warm[:, :16].any()
    assert not warm[20:].any()


# --- overlays ------------------------------------------------------------------------------------

GREY = np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8)


def flat(value: float) -> np.ndarray:
    return np.full((2, 2), value, np.float32)


@pytest.mark.parametrize("limit", [3.0, 0.0])
def test_nothing_for_or_against_leaves_the_image(limit: float):
    found = overlay(GREY, flat(0), limit)
    assert found.dtype == np.uint8
    assert (found == GREY[..., None]).all()


def test_for_is_warm_and_against_is_cold_on_any_grey():
    red, _, blue = np.moveaxis(overlay(GREY, flat(1), 2).astype(int), -1, 0)
    assert (red - blue > 50).all()
    red, _, blue = np.moveaxis(overlay(GREY, flat(-1), 2).astype(int), -1, 0)
    assert (blue - red > 50).all()


def test_more_is_stronger_up_to_the_limit():
    def strength(value: float) -> float:
        return np.abs(overlay(GREY, flat(value), 4).astype(int) - GREY[..., None]).mean()

    for sign in (1, -1):
        steps = [strength(sign * value) for value in (0.5, 1, 2, 4)]
        assert steps == sorted(set(steps))
        assert strength(sign * 4) == pytest.approx(strength(sign * 40), rel=1e-3)
    assert len(np.unique(overlay(GREY, flat(4), 4)[..., 0])) > 50  # the image shows through


def test_a_cell_colours_its_own_corner():
    corner = np.array([[0, 2], [0, 0]], np.float32)
    changed = (overlay(GREY, corner, 2) != GREY[..., None]).any(axis=2)
    assert changed[:16, 36:].all()
    assert not changed[48:].any()
    assert not changed[:, :12].any()


# --- which images --------------------------------------------------------------------------------


def labels_of(data: Dataset, cam: Cam) -> np.ndarray:
    return data.index.labels[np.flatnonzero(data.index.key == cam.key)[0]]


def test_half_are_real_of_the_split_and_half_were_rendered_for_it(data: Dataset, model: nn.Module):
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


def test_maps_and_probabilities_are_those_of_the_image(data: Dataset, model: nn.Module):
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


def test_no_score_has_a_part_in_the_choice(data: Dataset, model: nn.Module):
    def keys(model: nn.Module, name: str) -> list[str]:
        return [cam.key for cam in cams_of(data, model, [name], images=8).cams]

    other = settled(32)
    other.get_parameter("classifier.weight").data *= -1
    assert keys(model, "Fracture") == keys(other, "Fracture")
    real = [key for key in keys(model, "Fracture") if key.startswith("real")]
    assert real != sorted(real)  # not simply the first ones
    assert keys(model, "Fracture")[:3] != keys(model, "Lung Lesion")[:3]


def test_what_was_rendered_for_another_counts_where_nothing_was_for_it(
    data: Dataset, model: nn.Module
):
    found = cams_of(data, model, ["Fracture", "Hernia"], images=4)
    made = [cam for cam in found.cams if cam.origin == "synthetic"]
    assert all(labels_of(data, cam)[NAMES.index(cam.pathology)] == 1 for cam in made)
    assert {cam.pathology for cam in made} == {"Fracture", "Hernia"}
    assert found.notes == {"Hernia": "no positive real test images"}
    assert [cam.origin for cam in found.of("Hernia")] == ["synthetic"] * 2


def test_real_ones_take_the_place_of_synthetic_ones(sealer: Any, model: nn.Module, tmp_path: Path):
    counts = {("train", "real"): 20, ("val", "real"): 8, ("test", "real"): 20}
    sealed = sealer(tmp_path, counts=counts)
    index = load_index(sealed.manifest, sealed.root)
    with open_dataset(sealed.manifest, index, source=Folder(sealed.root), workers=1) as data:
        found = cams_of(data, model, ["Fracture", "Hernia"], images=4)
        assert [(cam.pathology, cam.origin) for cam in found.cams] == [("Fracture", "real")] * 4
        assert found.notes == {"Hernia": "no positive real test images"}
        positive = int((index.labels[index.split == "test", 2] == 1).sum())
        many = cams_of(data, model, ["Fracture"], images=12)
        assert len(many.cams) == positive < 12
        assert many.notes == {"Fracture": f"{positive} positive real test images"}
        assert cams_of(data, model, []).cams == ()


def test_outputs_are_found_by_name(data: Dataset, model: nn.Module):
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


def test_weights_without_sense_are_refused(data: Dataset):
    broken = settled(32)
    broken.get_parameter("classifier.weight").data[1] = torch.nan
    with pytest.raises(CheckError, match="hold what is no number"):
        cams_of(data, broken, ["Lung Lesion"])


# --- sheets --------------------------------------------------------------------------------------


def made(pathology: str, origin: str, value: float, key: str = "key") -> Cam:
    return Cam(
        pathology=pathology,
        origin=origin,
        split="test" if origin else "",
        key=key,
        image=GREY,
        map=np.array([[value, 0], [0, -value / 2]], np.float32),
        probability=0.25,
    )


CAMS = Cams(
    pathologies=("Mass", "Hernia"),
    cams=(made("Mass", "real", 2), made("Mass", "synthetic", -8)),
    notes={"Hernia": "no positive real test images"},
    skipped=(),
)


def words_of(cams: Cams, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a sheet says."""
    said, text = [], module._Page.text

    def spy(page: Any, x: float, y: float, words: str, **style: Any) -> None:
        said.append(words)
        text(page, x, y, words, **style)

    with monkeypatch.context() as patch:
        patch.setattr(module._Page, "text", spy)
        sheet(cams)
    return "\n".join(said)


def test_a_sheet_says_what_it_shows(monkeypatch: pytest.MonkeyPatch):
    words = words_of(CAMS, monkeypatch)
    for part in (
        *("2×2 cells", "Mass", "real, test", "synthetic, test", "probability 0.25"),
        *("+8 for", "−8 against", "Hernia: no positive real test images"),
    ):
        assert part in words
    assert CAMS.limit("Mass") == 8
    assert CAMS.limit("Hernia") == 0


def test_a_sheet_has_the_same_bytes_each_time():
    first = sheet(CAMS)
    assert first == sheet(CAMS) != sheet(replace(CAMS, notes={}))
    picture = Image.open(io.BytesIO(first))
    assert picture.format == "PNG"
    assert min(picture.size) > 400
    assert sheet(replace(CAMS, cams=CAMS.cams[:1])) != first


def test_a_sheet_bears_any_name_and_no_image(monkeypatch: pytest.MonkeyPatch):
    names = ("a/very/long/folder/x_$1^2$.png", "胸部.png")
    cams = replace(CAMS, cams=tuple(made("Mass", "", 0, name) for name in names))
    words = words_of(cams, monkeypatch)
    assert "…long/folder/x_$1^2$.png" in words
    assert " for" not in words.splitlines()[-1]  # no scale where there is nothing to scale
    assert sheet(replace(CAMS, cams=()))


def test_pictures_are_png_files_of_the_size_of_the_image():
    cam = CAMS.cams[1]
    image, laid = (np.asarray(Image.open(io.BytesIO(data))) for data in pictures(cam, 8))
    assert (image == GREY).all()
    assert (laid == overlay(GREY, cam.map, 8)).all()


# --- the command ---------------------------------------------------------------------------------


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
    monkeypatch.setattr(module, "sheet", lambda cams: found.append(cams) or sheet(cams))
    return found


def test_a_manifest_shows_the_targets_of_its_plan(
    weights: Path, shared: Any, tmp_path: Path, drawn: list[Cams]
):
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
):
    words = ("--pathology", "Hernia", "--pathology", "Fracture", "--images", 2, "--split", "val")
    result = call(weights, shared.path, *words, "--out", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert result.stderr == "Hernia: no positive real val images.\n"
    assert [(cam.pathology, cam.origin, cam.split) for cam in drawn[0].cams] == [
        ("Hernia", "synthetic", "train"),
        ("Fracture", "real", "val"),
        ("Fracture", "synthetic", "train"),
    ]


def test_a_manifest_without_any_positive_is_a_sentence(weights: Path, sealer: Any, tmp_path: Path):
    counts = {("train", "real"): 20, ("val", "real"): 8, ("test", "real"): 8}
    few = sealer(tmp_path / "data", counts=counts)
    words = (weights, few.path, "--pathology", "Hernia", "--out", tmp_path / "a.png")
    refused(call(*words), 2, "tiny has no test image that is positive for Hernia")
    assert not (tmp_path / "a.png").exists()


def test_files_come_as_named_and_a_folder_begins_with_its_first(
    weights: Path, images: Path, tmp_path: Path, drawn: list[Cams], model: nn.Module
):
    named = [images / f"{name}.png" for name in "fbacd"]
    assert call(weights, *named, "--out", tmp_path / "a.png").exit_code == 0
    assert drawn[0].pathologies == NAMES
    assert [cam.key for cam in drawn[0].of("Fracture")] == [str(path) for path in named]
    assert {cam.origin for cam in drawn[0].cams} == {""}
    pixels = torch.from_numpy(read_radiograph(named[1], 32).copy())[None, None]
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
):
    (images / "b.png").write_bytes(b"no image")
    words = (weights, images, "--out", tmp_path / "a.png")
    refused(call(*words), 1, "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]
    result = call(*words, "--skip-bad")
    assert result.exit_code == 0, result.output
    assert "Wrote 9 maps" in result.stdout
    assert result.stderr == "Left out: b.png: neither PNG nor JPEG\n"
    words = (weights, images / "b.png", "--out", tmp_path / "none.png", "--skip-bad")
    refused(call(*words), 1, "None of the 1 images can be read")
    assert not (tmp_path / "none.png").exists()


def test_a_sealed_image_that_cannot_be_read_is_named_or_left_out(
    weights: Path, sealed: Any, tmp_path: Path
):
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
):
    (tmp_path / "a.png").write_bytes(b"earlier")
    (images / "a.png").write_bytes(b"no image")
    assert call(weights, images, "--out", tmp_path / "a.png").exit_code == 1
    assert (tmp_path / "a.png").read_bytes() == b"earlier"


def test_what_cannot_be_asked(weights: Path, images: Path, shared: Any, tmp_path: Path):
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


def test_weights_for_other_images_are_refused(shared: Any, images: Path, tmp_path: Path):
    names = [f"P{i}" for i in range(16)]
    model, out = settled(32, tuple(names)), ("--out", tmp_path / "a.png")

    def save(height: int, width: int) -> Path:
        path = tmp_path / f"{height}x{width}.safetensors"
        facts = {"pathologies": names, "image": {"height": height, "width": width}}
        path.write_bytes(save_weights(model, facts))
        return path

    refused(call(save(64, 64), shared.path, *out), 2, "64×64 pixels, and tiny has 32×32")
    refused(call(save(32, 48), images, *out), 2, "32×48 pixels, and files are cut to squares")
    refused(call(save(32, 32), images, *out), 2, "16 pathologies do not fit", "--pathology")
    refused(call(save(32, 32), shared.path, *out), 2, "knows no 'Lung Lesion'")
    junk = tmp_path / "junk.safetensors"
    junk.write_text(json.dumps({}))
    refused(call(junk, images, *out), 1, "not a file that xtrain saved")
    assert call(save(32, 32), images, *out, "--pathology", "P7").exit_code == 0
