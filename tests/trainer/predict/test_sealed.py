import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from builder.contract import CheckError, UsageError
from builder.contract.radiograph import Reading
from builder.labels import read_labels
from builder.pack import real_samples
from trainer.predict import Predicted, predict_files, predict_shards
from trainer.stream.locate import locate_folder

CPU = torch.device("cpu")
NAMES = ("Mass", "Odd, (comma)")
ANSWERS: dict[str, Any] = {"batch": 7, "workers": 2, "device": CPU, "skip_bad": False}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def probabilities(rows: list[dict[str, str]]) -> npt.NDArray[np.float64]:
    return np.array([[float(row[name]) for name in NAMES] for row in rows])


@pytest.fixture(scope="module")
def sealed_folder(
    tmp_path_factory: pytest.TempPathFactory, draw: Callable[[Path, int], Path]
) -> Path:
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
) -> None:
    dataset = locate_folder(str(sealed_folder / "out/manifests/gan100.json"), None)
    predict_shards(weights, dataset, split="all", out=tmp_path / "all.csv", **ANSWERS)
    predict_files(
        weights,
        [sealed_folder / "images"],
        reading=Reading(),
        out=tmp_path / "files.csv",
        **ANSWERS,
    )
    files, shards = rows_of(tmp_path / "files.csv"), rows_of(tmp_path / "all.csv")
    key, by_key = key_of(sealed_folder), {row["key"]: row for row in shards}
    assert len(files) == 40 == sum(row["origin"] == "real" for row in shards)
    same = [by_key[key(row["image"])] for row in files]
    assert probabilities(files) == pytest.approx(probabilities(same), abs=1e-5)
    assert list(shards[0]) == ["key", "split", "origin", *NAMES]
    assert [row["key"] for row in shards] == dataset.index.key.tolist()
    assert [row["split"] for row in shards] == dataset.index.split.tolist()


def test_the_split_is_chosen(sealed_folder: Path, weights: Path, tmp_path: Path) -> None:
    dataset = locate_folder(str(sealed_folder / "out/manifests/gan100.json"), None)
    for split in ("train", "val", "test"):
        out = tmp_path / f"{split}.parquet"
        found = predict_shards(weights, dataset, split=split, out=out, **ANSWERS)
        keys = dataset.index.key[dataset.index.split == split]
        assert pq.read_table(out)["key"].to_pylist() == keys.tolist()
        assert found == Predicted(images=len(keys), skipped=())


def test_a_dataset_of_another_size_or_without_the_split_is_refused(
    shared: Any,
    sealer: Callable[..., Any],
    weights: Path,
    answering: nn.Module,
    save_weights: Callable[..., Path],
    tmp_path: Path,
) -> None:
    dataset = shared.located()
    out = tmp_path / "out.csv"
    with pytest.raises(UsageError, match="64×64 pixels, and tiny has 32×32"):
        predict_shards(weights, dataset, split="test", out=out, **ANSWERS)
    small = save_weights(tmp_path / "small.safetensors", answering, NAMES)
    few = sealer(tmp_path / "few", counts={("train", "real"): 8, ("val", "real"): 4})
    with pytest.raises(UsageError, match="tiny has no test images"):
        predict_shards(small, few.located(), split="test", out=out, **ANSWERS)


def test_a_sealed_image_that_cannot_be_read_is_named_or_left_out(
    sealed: Any, tmp_path: Path, answering: nn.Module, save_weights: Callable[..., Path]
) -> None:
    small = save_weights(tmp_path / "small.safetensors", answering, NAMES)
    out = tmp_path / "out.csv"
    row = int(np.flatnonzero(sealed.index.split == "test")[3])
    sealed.spoil_image(row)
    dataset, key = sealed.located(), sealed.index.key[row]
    with pytest.raises(CheckError, match=f"the image of '{key}' is not readable"):
        predict_shards(small, dataset, split="test", out=out, **ANSWERS)
    assert not out.exists()
    found = predict_shards(small, dataset, split="test", out=out, **ANSWERS | {"skip_bad": True})
    assert [one.image for one in found.skipped] == [key]
    assert key not in {line["key"] for line in rows_of(out)}
    assert found.images == len(rows_of(out)) == (sealed.index.split == "test").sum() - 1
