from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from PIL import Image

from builder.contract import UsageError
from trainer.cli.applying import located
from trainer.cli.values import MachineOptions

Call = Callable[..., Result]


def test_predict_writes_what_evaluate_saw(
    call: Call, done: Path, shared: Any, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    result = call("predict", done / "best.safetensors", shared.path, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Wrote 44 rows" in result.stdout
    scores = pq.read_table(out).to_pandas().set_index("key")
    seen = pq.read_table(done / "predictions.parquet").to_pandas().set_index("key")
    seen = seen[seen.split == "test"]
    assert list(scores.index) == list(seen.index)
    assert np.allclose(scores["Fracture"], seen["probability:Fracture"], atol=1e-6)


def test_predict_names_images_that_cannot_be_read(
    call: Call, refused: Callable[..., None], done: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "images/a.png")
    (tmp_path / "images/b.png").write_bytes(b"no image")
    words = ("predict", done / "best.safetensors", tmp_path / "images", "--out", tmp_path / "s.csv")
    refused(call(*words), 1, "b.png")
    assert not (tmp_path / "s.csv").exists()
    result = call(*words, "--skip-bad")
    assert result.exit_code == 0
    assert "Left out: b.png" in result.stderr
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("words", [["--depth", "12"], ["--window", "full"], ["--upsample"]])
@pytest.mark.parametrize("command", ["predict", "cam"])
def test_how_files_are_read_is_not_asked_of_a_manifest(
    call: Call,
    refused: Callable[..., None],
    done: Path,
    shared: Any,
    tmp_path: Path,
    command: str,
    words: list[str],
) -> None:
    out = tmp_path / ("a.csv" if command == "predict" else "a.png")
    result = call(command, done / "best.safetensors", shared.path, "--out", out, *words)
    refused(result, 2, f"{words[0]} is for image files")
    assert not out.exists()


@pytest.mark.parametrize("words", [["--split", "train"], ["--shards-root", "elsewhere"]])
@pytest.mark.parametrize("command", ["predict", "cam"])
def test_what_is_for_a_manifest_is_not_asked_of_files(
    call: Call,
    refused: Callable[..., None],
    done: Path,
    tmp_path: Path,
    command: str,
    words: list[str],
) -> None:
    out = tmp_path / ("a.csv" if command == "predict" else "a.png")
    result = call(command, done / "best.safetensors", tmp_path, "--out", out, *words)
    refused(result, 2, f"{words[0]} is for the images of a manifest: {tmp_path} is none")
    assert not out.exists()


def test_files_are_read_as_asked(
    call: Call, refused: Callable[..., None], done: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (20, 30), dtype=np.uint16)
    noise[0, 0] = 4095
    Image.fromarray(noise).save(tmp_path / "a.png")
    few = ("--workers", 1, "--device", "cpu")
    for command, out in (("predict", "a.csv"), ("cam", "b.png")):
        words = (command, done / "best.safetensors", tmp_path / "a.png", "--out", tmp_path / out)
        refused(call(*words, *few), 1, "say --depth 12")
        refused(call(*words, *few, "--depth", 12), 1, "20×30 pixels, smaller than 32", "--upsample")
        assert not (tmp_path / out).exists()
        result = call(*words, *few, "--depth", 12, "--upsample")
        assert result.exit_code == 0, result.output


def test_cam_draws_files(call: Call, done: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    words = ("cam", done / "best.safetensors", tmp_path / "a.png", "--pathology", "Fracture")
    result = call(*words, "--out", tmp_path / "cam.png")
    assert result.exit_code == 0, result.output
    assert "Wrote 1 maps to" in result.stdout
    assert (tmp_path / "cam.png").is_file()


def test_images_are_files_or_one_manifest(tmp_path: Path) -> None:
    options: MachineOptions = {
        "device": "cpu",
        "workers": 1,
        "skip_bad": False,
        "cache_dir": tmp_path,
        "cache_size": "1GB",
    }
    assert located(["a.png", "folder"], None, options) is None
    with pytest.raises(UsageError, match="one manifest at a time"):
        located(["a.json", "b.png"], None, options)
    with pytest.raises(UsageError, match="is a URL, which only a manifest may be"):
        located(["https://example.org/a.png"], None, options)
