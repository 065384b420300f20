import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from trainer.cli import main

FEW = ("--init", "random", "--epochs", "1", "--batch", "16", "--workers", "1", "--device", "cpu")


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def refused(result: Result, code: int, *words: str) -> None:
    """Assert one sentence on stderr, the exit code, and no trace of a trace."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_help_of_everything_and_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from trainer.cli import main;"
        "r = [CliRunner().invoke(main, w) for w in ([], ['--help'], ['fit', '--help'])];"
        "assert all('Usage' in x.output for x in r) and r[1].exit_code == r[2].exit_code == 0;"
        "heavy = {'torch', 'torchvision', 'torchxrayvision', 'pandas', 'sklearn', 'matplotlib'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_option_of_the_issues_is_there():
    text = call("fit", "--help").output
    names = (
        "shards shards-root out epochs batch lr optimizer augment init device workers seed resume"
        " arm mix steps precision accumulate compile skip-bad cache track checkpoint-minutes"
    )
    assert all(f"--{name}" in text for name in names.split())


def test_fit_is_the_default_command(shared: Any, tmp_path: Path):
    result = call("--shards", shared.path, "--out", tmp_path / "run", *FEW)
    assert result.exit_code == 0, result.output
    assert "Lung Lesion" in result.stdout
    assert "phantoms, not radiographs" in result.stdout
    assert "run/report.md" in result.stdout.replace("\n", "")
    assert result.stderr == ""
    refused(call("fit", "--shards", shared.path, "--out", tmp_path / "run", *FEW), 2, "--resume")
    other = ("--out", tmp_path / "run", *FEW, "--resume", "--lr", "0.5")
    refused(call("--shards", shared.path, *other), 2, "with lr 0.001, now it is 0.5")
    command = json.loads((tmp_path / "run/report.json").read_text())["command"]
    assert command.startswith("xtrain --shards=")


def test_the_default_folder_has_the_datasets_name(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert call("--shards", sealed.path, *FEW).exit_code == 0
    assert (tmp_path / "runs/tiny-gan/report.md").is_file()


@pytest.mark.parametrize(
    "words",
    [("--epochs", "0"), ("--batch", "1"), ("--lr", "0"), ("--optimizer", "lion"), ("--seed", "-1"),
     ("--augment", "cutmix"), ("--workers", "0"), ("--arm", "mixup"), ("--accumulate", "0"),
     ("--mix", "fake=1"), ("--cache", "disk"), ("--cache-size", "much")],
)  # fmt: skip
def test_values_out_of_range_are_usage_errors(shared: Any, words: tuple[str, str]):
    result = call("--shards", shared.path, *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr


def unknown_schema(sealed: Any) -> None:
    sealed.swap_text('"schema": 1', '"schema": 99')


def synthetic_in_test(sealed: Any) -> None:
    sealed.swap_text(
        '"split": "test",\n      "origin": "real"', '"split": "test",\n      "origin": "synthetic"'
    )


def pipe(sealed: Any) -> None:
    sealed.swap_text(sealed.manifest.shardlist[0].url, "pipe:touch /tmp/hacked")


def climbs(sealed: Any) -> None:
    sealed.swap_text(sealed.manifest.shardlist[0].url, "../shards/train.tar")


def absolute(sealed: Any) -> None:
    sealed.swap_text(sealed.manifest.shardlist[0].url, "/etc/passwd")


def linked_away(sealed: Any) -> None:
    path = sealed.root / sealed.manifest.shardlist[0].url
    path.rename(sealed.root.parent / "elsewhere.tar")
    path.symlink_to(sealed.root.parent / "elsewhere.tar")


def wrong_sha(sealed: Any) -> None:
    sealed.swap_text(sealed.manifest.shardlist[0].sha256, "0" * 64)


def truncated(sealed: Any) -> None:
    path = sealed.root / sealed.manifest.shardlist[-1].url
    path.write_bytes(path.read_bytes()[:-1024])


def missing(sealed: Any) -> None:
    (sealed.root / sealed.manifest.shardlist[0].url).unlink()


def corrupt_image(sealed: Any) -> None:
    index = sealed.index
    with (sealed.root / index.shard[0]).open("r+b") as tar:
        tar.seek(int(index.offset[0]))
        tar.write(b"not a JPEG at all")
    sealed.reseal()


def other_columns(sealed: Any) -> None:
    sealed.save(pathologies=("Hernia", "Lung Lesion", "Mass"))


def other_index(sealed: Any) -> None:
    (sealed.root / "manifests/tiny.parquet").write_bytes(b"PAR1")


def no_json(sealed: Any) -> None:
    sealed.path.write_text("{")


BAD = {
    unknown_schema: "schema 99",
    synthetic_in_test: "synthetic",
    pipe: "pipe:",
    climbs: "../",
    absolute: "/etc/passwd",
    linked_away: "leads out",
    wrong_sha: "sha256",
    truncated: "bytes",
    missing: "missing",
    corrupt_image: "real-train-0000",
    other_columns: "columns",
    other_index: "sha256",
    no_json: "JSON",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_bad_datasets_are_refused_in_one_sentence(sealed: Any, tmp_path: Path, spoil: Any):
    spoil(sealed)
    out = tmp_path / "runs" / "tiny"
    result = call("--shards", sealed.path, "--out", out, *FEW)
    refused(result, 1, BAD[spoil])
    assert not out.exists()
    assert not Path("/tmp/hacked").exists()


def test_a_full_disk_is_one_sentence(sealed: Any, tmp_path: Path, monkeypatch: Any):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trainer.fit.loop.write_last", full)
    monkeypatch.setattr("trainer.fit.checkpoint.write_last", full)
    result = call("--shards", sealed.path, "--out", tmp_path / "run", *FEW)
    refused(result, 1, "No space left on device")
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_go_on(sealed: Any, tmp_path: Path, monkeypatch: Any):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.train.fit", stop)
    result = call("--shards", sealed.path, "--out", tmp_path / "run", *FEW)
    assert result.exit_code == 130
    assert result.stderr.count("\n") == 1
    assert "--resume" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def done(shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that others look at."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    assert call("--shards", shared.path, "--out", out, *FEW).exit_code == 0
    return out


def test_evaluate_writes_the_report_anew_also_where_the_dataset_was_moved(
    done: Path, sealed: Any, tmp_path: Path
):
    run = tmp_path / "run"
    shutil.copytree(done, run)
    (run / "report.md").unlink()
    moved = sealed.root.rename(tmp_path / "moved")
    asked = ("--shards", moved / "manifests/tiny.json", "--workers", "1")
    result = call("evaluate", run, *asked)
    assert result.exit_code == 0, result.output
    assert (run / "report.md").is_file()
    assert (run / "predictions.parquet").read_bytes() == (done / "predictions.parquet").read_bytes()
    refused(call("evaluate", tmp_path), 2, "holds no run")


def test_predict_writes_what_evaluate_saw(done: Path, shared: Any, tmp_path: Path):
    out = tmp_path / "scores.parquet"
    result = call("predict", done / "best.safetensors", shared.path, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Wrote 44 rows" in result.stdout
    scores = pq.read_table(out).to_pandas().set_index("key")
    seen = pq.read_table(done / "predictions.parquet").to_pandas().set_index("key")
    seen = seen[seen.split == "test"]
    assert list(scores.index) == list(seen.index)
    assert np.allclose(scores["Fracture"], seen["probability:Fracture"], atol=1e-6)


def test_predict_names_images_that_cannot_be_read(done: Path, tmp_path: Path):
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
    refused(
        call(*words[:2], "a.json", "b.png", "--out", tmp_path / "s.csv"),
        2,
        "one manifest at a time",
    )


def test_sweep_shows_every_point_and_the_report_of_the_best(shared: Any, tmp_path: Path):
    grid = ("--lr", "0.001", "--batch", "16", "--optimizer", "adam", "--optimizer", "momentum")
    few = ("--init", "random", "--epochs", "1", "--workers", "1", "--device", "cpu")
    result = call("sweep", "--shards", shared.path, "--out", tmp_path / "s", *grid, *few)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("0.001") >= 2
    assert "Lung Lesion" in result.stdout
    assert (tmp_path / "s/sweep.png").is_file()
    assert len(list((tmp_path / "s").rglob("report.md"))) == 1


def test_an_unwritable_folder_is_found_before_training(sealed: Any, tmp_path: Path):
    (tmp_path / "file").touch()
    refused(call("--shards", sealed.path, "--out", tmp_path / "file/run", *FEW), 1, "file/run")
