"""A release in tools that know nothing of this project."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from builder.contract import Manifest

DATASETS = """
import sys
from datasets import load_dataset
images = load_dataset(sys.argv[1], split="train")
assert set(images.column_names) == {"__key__", "__url__", "jpg", "json"}, images.column_names
for row in images:
    assert row["jpg"].size == (32, 32) and row["json"]["key"] == row["__key__"].split("/")[-1]
print(len(images))
"""
WEBDATASET = """
import glob, json, sys
import webdataset as wds
shards = sorted(glob.glob(sys.argv[1] + "/data/train-*.tar"))
count = 0
for sample in wds.WebDataset(shards, shardshuffle=False, empty_check=False):
    record = json.loads(sample["json"])
    assert record["key"] == sample["__key__"] and sample["jpg"][:2] == bytes((255, 216))
    count += 1
print(count)
"""


@pytest.fixture(scope="module")
def count(manifest: Manifest) -> int:
    assert manifest.plan is not None
    return manifest.plan.synthetic


@pytest.mark.parametrize("script", [DATASETS, WEBDATASET], ids=["datasets", "webdataset"])
def test_it_loads_with_no_code_of_ours(
    script: str, shared_folder: Path, tmp_path: Path, count: int
) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, shared_folder],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(count)


def test_dalis_idx_points_at_each_member(shared_folder: Path, count: int) -> None:
    samples = 0
    for idx in sorted((shared_folder / "data").glob("*.idx")):
        data = idx.with_suffix(".tar").read_bytes()
        head, *lines = idx.read_text().splitlines()
        assert head == f"v1.2 {len(lines)}"
        for line in lines:
            jpg, start, size, name, kind, json_start, json_size, json_name = line.split()
            assert (jpg, kind) == ("jpg", "json")
            image = data[int(start) : int(start) + int(size)]
            record = json.loads(data[int(json_start) : int(json_start) + int(json_size)])
            assert (image[:2], image[-2:]) == (b"\xff\xd8", b"\xff\xd9")
            assert name == f"{record['key']}.jpg"
            assert json_name == f"{record['key']}.json"
            samples += 1
    assert samples == count


def test_tar_and_pyarrow_agree(shared_folder: Path, count: int) -> None:
    table = pq.read_table(shared_folder / "metadata" / "train.parquet").to_pylist()
    assert len(table) == count
    for row in table:
        with tarfile.open(shared_folder / row["shard"]) as file:
            image = file.getmember(f"{row['key']}.jpg")
            assert (image.offset_data, image.size) == (row["offset"], row["size"])
            text = file.extractfile(f"{row['key']}.json")
            assert text is not None
            record = json.loads(text.read())
        assert record["target"] == row["target"]
        assert all(record["labels"][name] == row[name] for name in record["labels"])


def test_sha256sum_finds_a_changed_byte(shared_folder: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")

    def check() -> subprocess.CompletedProcess[str]:
        command = ["sha256sum", "--strict", "--check", "--quiet", "SHA256SUMS"]
        return subprocess.run(
            command, cwd=shared_folder, capture_output=True, text=True, check=False
        )

    assert check().returncode == 0
    path = shared_folder / "real.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "real.parquet: FAILED" in check().stdout
