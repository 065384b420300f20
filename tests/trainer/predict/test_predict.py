import csv
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from builder.contract import CheckError, UsageError, load_index, load_manifest
from builder.contract.radiograph import read_radiograph
from builder.contract.weights import scale
from builder.labels import read_labels
from builder.pack import real_samples
from trainer.model import build, load_into, save_weights
from trainer.predict import files as module
from trainer.predict import table as table_module
from trainer.predict.probabilities import Predicted, predict_files, predict_shards
from trainer.stream.locate import Located
from trainer.stream.shards import Folder

CPU = torch.device("cpu")
NAMES = ["Mass", "Odd, (comma)"]
ANSWERS = {"batch": 7, "workers": 2, "device": CPU, "skip_bad": False}


def save(path: Path, facts: dict[str, Any] | None = None) -> Path:
    """Weights that answer each image differently."""
    model = build(NAMES, init="random", seed=3)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    blots = torch.rand(16, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    model(scale(torch.nn.functional.interpolate(255 * blots, (64, 64))))  # moments that fit
    image = {"height": 64, "width": 64, "codec": "png", "quality": 0}
    facts = {"pathologies": NAMES, "image": image} if facts is None else facts
    path.write_bytes(save_weights(model, facts))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights") / "best.safetensors")


def draw(path: Path, seed: int) -> Path:
    """A picture of any size and kind: grey, 16-bit or colour, PNG or JPEG."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    side = 64 + int(rng.integers(60)), 64 + int(rng.integers(60))
    pixels = np.asarray(Image.fromarray(coarse).resize(side, Image.Resampling.BICUBIC))
    if seed % 4 == 1 and path.suffix == ".png":
        picture = Image.fromarray(pixels.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(np.stack([pixels] * 3, axis=-1) if seed % 4 == 2 else pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "PNG" if path.suffix.lower() == ".png" else "JPEG")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["b/2.png", "b/10.JPG", "a.jpeg", "c.png", "b.png", "d/e/f.jpg", *map(str, range(14))]
    for seed, name in enumerate(names):
        draw(tmp_path / "images" / (name if "." in name else f"z/{name}.png"), seed)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def probabilities(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row[name]) for name in NAMES] for row in rows])


def test_a_folder_is_predicted_in_the_order_of_its_paths(folder: Path, weights: Path):
    out = folder.parent / "new" / "out.csv"
    found = predict_files(weights, [folder], out=out, **ANSWERS)
    rows = rows_of(out)
    assert found == Predicted(images=len(rows), skipped=())
    names = [row["image"] for row in rows]
    suffixes = (".png", ".jpg", ".jpeg")
    paths = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    assert names == sorted(path.relative_to(folder).as_posix() for path in paths)
    assert list(rows[0]) == ["image", *NAMES]
    model = build(NAMES, init="random", seed=0).eval()
    load_into(model, weights)
    for name, row in zip(names, probabilities(rows), strict=True):
        pixels = torch.from_numpy(read_radiograph(folder / name, 64).copy())[None, None]
        with torch.inference_mode():
            expected = torch.sigmoid(model(scale(pixels)))[0]
        assert row == pytest.approx(expected.numpy(), abs=1e-5)
    assert np.ptp(probabilities(rows), axis=0).min() > 0.01  # or the test shows nothing
    assert os.listdir(out.parent) == ["out.csv"]  # noqa: PTH208 - hidden ones too


def test_files_come_as_given_and_parquet_holds_what_the_csv_holds(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(table_module, "AT_ONCE", 3)
    paths = [Path("z/3.png"), folder / "b" / "10.JPG", Path("a.jpeg"), Path("z/3.png")]
    for suffix, batch in ((".csv", 1), (".parquet", 3)):
        predict_files(weights, paths, out=folder / f"out{suffix}", **ANSWERS | {"batch": batch})
    table = pq.read_table(folder / "out.parquet")
    rows = rows_of(folder / "out.csv")
    assert table["image"].to_pylist() == [row["image"] for row in rows] == [*map(str, paths)]
    assert [str(kind) for kind in table.schema.types] == ["string", "float", "float"]
    columns = np.stack([table[name].to_numpy() for name in NAMES], axis=1)
    assert columns == pytest.approx(probabilities(rows), abs=1e-5)
    assert table.column_names == ["image", *NAMES]
    assert pq.ParquetFile(folder / "out.parquet").num_row_groups == 2


def test_threads_and_batches_change_nothing(folder: Path, weights: Path):
    def go(name: str, **options: Any) -> list[dict[str, str]]:
        predict_files(weights, [folder], out=folder / name, **ANSWERS | options)
        return rows_of(folder / name)

    one, many = go("1.csv", workers=1), go("2.csv", workers=8, batch=3)
    assert [row["image"] for row in one] == [row["image"] for row in many]
    assert probabilities(one) == pytest.approx(probabilities(many), abs=1e-5)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_an_unreadable_image_is_named_and_nothing_is_written(
    folder: Path, weights: Path, name: str
):
    (folder / "z" / "5.png").write_text("no image")
    before = set(folder.rglob("*"))
    with pytest.raises(CheckError, match=r"^z/5\.png cannot be read \(neither PNG nor JPEG\): "):
        predict_files(weights, [folder], out=folder / name, **ANSWERS)
    assert set(folder.rglob("*")) == before


def test_an_unreadable_image_may_be_left_out(folder: Path, weights: Path):
    predict_files(weights, [folder], out=folder / "all.csv", **ANSWERS)
    bad = {"b.png": "", "z/5.png": "x"}
    for name, text in bad.items():
        (folder / name).write_text(text)
    found = predict_files(weights, [folder], out=folder / "out.csv", **ANSWERS | {"skip_bad": True})
    assert [(one.image, one.reason) for one in found.skipped] == [
        (name, "neither PNG nor JPEG") for name in bad
    ]
    before, after = rows_of(folder / "all.csv"), rows_of(folder / "out.csv")
    kept = [row for row in before if row["image"] not in bad]
    assert [row["image"] for row in after] == [row["image"] for row in kept]
    assert probabilities(after) == pytest.approx(probabilities(kept), abs=1e-5)
    assert found.images == len(after)


def test_a_name_that_is_no_text_is_written_as_it_can_be(tmp_path: Path, weights: Path):
    os.rename(draw(tmp_path / "in" / "x.png", 0), os.fsencode(tmp_path / "in") + b"/\xff.png")  # noqa: PTH104 - Path takes no bytes
    predict_files(weights, [tmp_path / "in"], out=tmp_path / "out.csv", **ANSWERS)
    assert [row["image"] for row in rows_of(tmp_path / "out.csv")] == [r"\xff.png"]


def test_none_readable_is_an_error_even_then(tmp_path: Path, weights: Path):
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    with pytest.raises(CheckError, match=r"None of the 2 images .*1\.png: missing"):
        predict_files(weights, paths, out=tmp_path / "x.csv", **ANSWERS | {"skip_bad": True})
    assert not list(tmp_path.iterdir())


def test_an_earlier_table_stays_until_the_new_one_is_whole(folder: Path, weights: Path):
    out = folder / "out.csv"
    out.write_text("earlier")
    (folder / "z" / "9.png").write_text("no image")
    with pytest.raises(CheckError):
        predict_files(weights, [folder], out=out, **ANSWERS)
    assert out.read_text() == "earlier"


@pytest.mark.parametrize(
    ("paths", "out", "message"),
    [
        (["c.png"], "out.xlsx", r"--out .*out\.xlsx: the name should end in \.csv or \.parquet"),
        (["empty"], "out.csv", "empty holds no PNG or JPEG file"),
        (["c.png", "b"], "out.csv", "b is a folder among other paths"),
        ([], "out.csv", "no image to predict"),
    ],
)
def test_what_cannot_be_asked(
    folder: Path, weights: Path, paths: list[str], out: str, message: str
):
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        predict_files(weights, [folder / path for path in paths], out=folder / out, **ANSWERS)


IMAGE = {"height": 64, "width": 64}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "does not say for which pathologies"),
        ({"pathologies": NAMES}, "does not say for which"),
        ({"pathologies": NAMES, "image": {"height": 64, "width": "64"}}, "does not say"),
        ({"pathologies": NAMES, "image": {"height": 1 << 20, "width": 64}}, "does not say"),
        ({"pathologies": NAMES, "image": {"height": True, "width": 64}}, "does not say"),
        ({"pathologies": [1, 2], "image": IMAGE}, "does not say for which"),
        ({"pathologies": [], "image": IMAGE}, "does not say for which"),
        ({"pathologies": "Mass", "image": IMAGE}, "does not say for which"),
        ({"pathologies": ["key", "Mass"], "image": IMAGE}, "'key' cannot be used"),
        ({"pathologies": ["Mass"], "image": IMAGE}, "not one output for each of its 1"),
    ],
)
def test_weights_that_say_nothing_sensible_are_refused(
    tmp_path: Path, facts: dict[str, Any], message: str
):
    path = save(tmp_path / "best.safetensors", facts)
    with pytest.raises(CheckError, match=message):
        predict_files(path, [tmp_path / "x.png"], out=tmp_path / "out.csv", **ANSWERS)


def test_weights_that_are_missing_or_for_no_squares(tmp_path: Path):
    images = [draw(tmp_path / "x.png", 0)]
    with pytest.raises(UsageError, match="absent is missing"):
        predict_files(tmp_path / "absent", images, out=tmp_path / "out.csv", **ANSWERS)
    wide = save(tmp_path / "wide", {"pathologies": NAMES, "image": {"height": 64, "width": 80}})
    with pytest.raises(UsageError, match="64×80 pixels, and files are cut to squares"):
        predict_files(wide, images, out=tmp_path / "out.csv", **ANSWERS)


def test_no_more_is_read_than_is_needed_soon(folder: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[Path] = []
    monkeypatch.setattr(
        module, "read_radiograph", lambda path, side: read.append(path) or np.zeros((side, side))
    )
    images = module.find_images([folder])
    chunks = module.read_ahead(images, 64, size=1, workers=2, skip_bad=False, pin=False)
    next(chunks)
    time.sleep(0.2)
    assert len(read) <= 1 + 2 + 2 < len(images.names)
    chunks.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


# --- shards --------------------------------------------------------------------------------------


def located(path: Path, root: Path) -> Located:
    manifest = load_manifest(path)
    return Located(manifest=manifest, index=load_index(manifest, root), source=Folder(root))


@pytest.fixture(scope="module")
def sealed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image files with their label table, and beside them the dataset sealed from them."""
    root = tmp_path_factory.mktemp("sealed")
    with (root / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient", "Mass", "Edema"])
        for i in range(40):
            name = f"{i:02d}.{'png' if i % 2 else 'jpg'}"
            draw(root / "images" / name, i)
            table.writerow([name, f"p{i}", int(i % 5 == 0), int(i % 2)])
    words = (
        *("synth", "--dataset", "table", "--labels", root / "labels.csv"),
        *("--root", root / "images", "--image-size", 64, "--format", "png", "--target", "Mass"),
        *("--share", "0.3", "--holdout", "0.2", "0.3", "--workers", 1, "--out", root / "out"),
    )
    xbuild = Path(sys.executable).with_name("xbuild")
    subprocess.run([xbuild, *map(str, words)], check=True, capture_output=True)
    return root


def key_of(root: Path) -> Callable[[str], str]:
    table = read_labels("table", labels=root / "labels.csv", root=root / "images")
    samples = real_samples(table, range(len(table)), "test", 0)
    keys = {name: s.key for name, s in zip(table.rows["image"], samples, strict=True)}
    return keys.__getitem__


def test_source_files_and_their_sealed_images_get_the_same_answer(
    sealed_folder: Path, weights: Path, tmp_path: Path
):
    dataset = located(sealed_folder / "out/manifests/gan100.json", sealed_folder / "out")
    predict_shards(weights, dataset, split="all", out=tmp_path / "all.csv", **ANSWERS)
    predict_files(weights, [sealed_folder / "images"], out=tmp_path / "files.csv", **ANSWERS)
    files, shards = rows_of(tmp_path / "files.csv"), rows_of(tmp_path / "all.csv")
    key, by_key = key_of(sealed_folder), {row["key"]: row for row in shards}
    assert len(files) == 40 == sum(row["origin"] == "real" for row in shards)
    same = [by_key[key(row["image"])] for row in files]
    assert probabilities(files) == pytest.approx(probabilities(same), abs=1e-5)
    assert list(shards[0]) == ["key", "split", "origin", *NAMES]
    assert [row["key"] for row in shards] == dataset.index.key.tolist()
    assert [row["split"] for row in shards] == dataset.index.split.tolist()


def test_the_split_is_chosen(sealed_folder: Path, weights: Path, tmp_path: Path):
    dataset = located(sealed_folder / "out/manifests/gan100.json", sealed_folder / "out")
    for split in ("train", "val", "test"):
        out = tmp_path / f"{split}.parquet"
        found = predict_shards(weights, dataset, split=split, out=out, **ANSWERS)
        keys = dataset.index.key[dataset.index.split == split]
        assert pq.read_table(out)["key"].to_pylist() == keys.tolist()
        assert found == Predicted(images=len(keys), skipped=())


def test_a_dataset_of_another_size_or_without_the_split_is_refused(
    shared: Any, sealer: Any, weights: Path, tmp_path: Path
):
    dataset = located(shared.path, shared.root)
    out = tmp_path / "out.csv"
    with pytest.raises(UsageError, match="64×64 pixels, and tiny has 32×32"):
        predict_shards(weights, dataset, split="test", out=out, **ANSWERS)
    facts = {"pathologies": NAMES, "image": {"height": 32, "width": 32}}
    small = save(tmp_path / "small.safetensors", facts)
    few = sealer(tmp_path / "few", counts={("train", "real"): 8, ("val", "real"): 4})
    with pytest.raises(UsageError, match="tiny has no test images"):
        predict_shards(small, located(few.path, few.root), split="test", out=out, **ANSWERS)


def test_a_sealed_image_that_cannot_be_read_is_named_or_left_out(sealed: Any, tmp_path: Path):
    facts = {"pathologies": NAMES, "image": {"height": 32, "width": 32}}
    small, out = save(tmp_path / "small.safetensors", facts), tmp_path / "out.csv"
    row = np.flatnonzero(sealed.index.split == "test")[3]
    path = sealed.root / sealed.index.shard[row]
    data = bytearray(path.read_bytes())
    data[sealed.index.offset[row] : sealed.index.offset[row] + 4] = b"junk"
    path.write_bytes(data)
    sealed.reseal()
    dataset, key = located(sealed.path, sealed.root), sealed.index.key[row]
    with pytest.raises(CheckError, match=f"the image of '{key}' is not readable"):
        predict_shards(small, dataset, split="test", out=out, **ANSWERS)
    assert not out.exists()
    found = predict_shards(small, dataset, split="test", out=out, **ANSWERS | {"skip_bad": True})
    assert [one.image for one in found.skipped] == [key]
    assert key not in {line["key"] for line in rows_of(out)}
    assert found.images == len(rows_of(out)) == (sealed.index.split == "test").sum() - 1
