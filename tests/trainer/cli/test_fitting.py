import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result

Call = Callable[..., Result]
Refused = Callable[..., None]


def test_a_run_ends_with_its_table_and_files(
    call: Call, refused: Refused, shared: Any, tmp_path: Path, few: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    result = call("--shards", shared.path, "--out", out, *few)
    assert result.exit_code == 0, result.output
    assert "Lung Lesion" in result.stdout
    assert "phantoms, not radiographs" in result.stdout
    assert "run/report.md" in result.stdout.replace("\n", "")
    assert result.stderr == ""
    refused(call("fit", "--shards", shared.path, "--out", out, *few), 2, "--resume")
    other = ("--out", out, *few, "--resume", "--lr", "0.5")
    refused(call("--shards", shared.path, *other), 2, "with lr 0.001, now it is 0.5")
    command = json.loads((out / "report.json").read_text())["command"]
    assert command.startswith("xtrain --shards=")


def test_the_default_folder_has_the_name_of_the_dataset(
    call: Call,
    sealed: Any,
    tmp_path: Path,
    few: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("--shards", sealed.path, *few).exit_code == 0
    assert (tmp_path / "runs/tiny-gan/report.md").is_file()


def swap_text(sealed: Any, old: str, new: str) -> None:
    """Edit the manifest's text, past every check of the contract."""
    text = sealed.path.read_text()
    assert old in text
    sealed.path.write_text(text.replace(old, new))


def unknown_schema(sealed: Any) -> None:
    swap_text(sealed, '"schema": 1', '"schema": 99')


def synthetic_in_test(sealed: Any) -> None:
    swap_text(
        sealed,
        '"split": "test",\n      "origin": "real"',
        '"split": "test",\n      "origin": "synthetic"',
    )


def pipe(sealed: Any) -> None:
    swap_text(sealed, sealed.manifest.shardlist[0].url, "pipe:touch /tmp/hacked")


def climbs(sealed: Any) -> None:
    swap_text(sealed, sealed.manifest.shardlist[0].url, "../shards/train.tar")


def absolute(sealed: Any) -> None:
    swap_text(sealed, sealed.manifest.shardlist[0].url, "/etc/passwd")


def linked_away(sealed: Any) -> None:
    path = sealed.root / sealed.manifest.shardlist[0].url
    path.rename(sealed.root.parent / "elsewhere.tar")
    path.symlink_to(sealed.root.parent / "elsewhere.tar")


def wrong_sha(sealed: Any) -> None:
    swap_text(sealed, sealed.manifest.shardlist[0].sha256, "0" * 64)


def truncated(sealed: Any) -> None:
    path = sealed.root / sealed.manifest.shardlist[-1].url
    path.write_bytes(path.read_bytes()[:-1024])


def missing(sealed: Any) -> None:
    (sealed.root / sealed.manifest.shardlist[0].url).unlink()


def corrupt_image(sealed: Any) -> None:
    sealed.spoil_image(0)


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
def test_bad_datasets_are_refused_in_one_sentence(
    call: Call,
    refused: Refused,
    sealed: Any,
    tmp_path: Path,
    few: tuple[str, ...],
    spoil: Callable[[Any], None],
) -> None:
    spoil(sealed)
    out = tmp_path / "runs" / "tiny"
    refused(call("--shards", sealed.path, "--out", out, *few), 1, BAD[spoil])
    assert not out.exists()
    assert not Path("/tmp/hacked").exists()


def test_a_full_disk_is_one_sentence(
    call: Call,
    refused: Refused,
    sealed: Any,
    tmp_path: Path,
    few: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trainer.fit.loop.write_last", full)
    result = call("--shards", sealed.path, "--out", tmp_path / "run", *few)
    refused(result, 1, "No space left on device")
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_resume(
    call: Call, sealed: Any, tmp_path: Path, few: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.train.fit", stop)
    result = call("--shards", sealed.path, "--out", tmp_path / "run", *few)
    assert result.exit_code == 130
    assert result.stderr.count("\n") == 1
    assert "--resume" in result.stderr
    assert not (tmp_path / "run").exists()


def test_evaluate_writes_the_report_again_also_where_the_dataset_was_moved(
    call: Call, refused: Refused, done: Path, sealed: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(done, run)
    (run / "report.md").unlink()
    moved = sealed.root.rename(tmp_path / "moved")
    result = call("evaluate", run, "--shards", moved / "manifests/tiny.json", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert (run / "report.md").is_file()
    assert (run / "predictions.parquet").read_bytes() == (done / "predictions.parquet").read_bytes()
    refused(call("evaluate", tmp_path), 2, "holds no run")


def test_predict_gives_the_probabilities_of_the_report_bit_for_bit(
    call: Call, done: Path, shared: Any, tmp_path: Path
) -> None:
    out = tmp_path / "again.parquet"
    words = ("--out", out, "--device", "cpu", "--workers", "1")
    result = call("predict", done / "best.safetensors", shared.path, *words)
    assert result.exit_code == 0, result.output
    report, again = (
        pq.read_table(path).to_pandas() for path in (done / "predictions.parquet", out)
    )
    report = report[report.split == "test"]
    assert report.key.tolist() == again.key.tolist()
    for name in shared.manifest.pathologies:
        assert (report[f"probability:{name}"].to_numpy() == again[name].to_numpy()).all()


def test_evaluate_refuses_a_changed_config(
    call: Call, refused: Refused, done: Path, tmp_path: Path
) -> None:
    shutil.copytree(done, tmp_path / "run")
    path = tmp_path / "run/config.json"
    path.write_text(path.read_text().replace('"arm": "gan"', '"arm": "mixup"'))
    refused(call("evaluate", tmp_path / "run"), 1, "config.json", "arm")


def test_sweep_shows_every_point_and_the_report_of_the_best(
    call: Call, shared: Any, tmp_path: Path
) -> None:
    grid = ("--lr", "0.001", "--batch", "16", "--optimizer", "adam", "--optimizer", "momentum")
    short = ("--init", "random", "--epochs", "1", "--workers", "1", "--device", "cpu")
    result = call("sweep", "--shards", shared.path, "--out", tmp_path / "s", *grid, *short)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("0.001") >= 2
    assert "Lung Lesion" in result.stdout
    assert (tmp_path / "s/sweep.png").is_file()
    assert len(list((tmp_path / "s").rglob("report.md"))) == 1


def test_an_unwritable_folder_is_found_before_training(
    call: Call, refused: Refused, sealed: Any, tmp_path: Path, few: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    result = call("--shards", sealed.path, "--out", tmp_path / "file/run", *few)
    refused(result, 1, "file/run")


def test_a_run_is_scored_on_other_datasets(
    call: Call, refused: Refused, done: Path, sealer: Callable[..., Any], tmp_path: Path
) -> None:
    run = shutil.copytree(done, tmp_path / "run")
    there = sealer(tmp_path / "there", counts={("train", "real"): 9, ("test", "real"): 60}).path
    result = call("evaluate", run, "--test", there, "--device", "cpu", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "on its test images" in result.output
    assert len(list((run / "external").glob("tiny-*.json"))) == 1
    asked = ("evaluate", run, "--test", there, "--test-label", "Mass=Fracture")
    refused(call(*asked), 2, "tiny has no label 'Mass'")
