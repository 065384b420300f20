"""Plain tools read the shards with no code of ours."""

import io
import json
import subprocess
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from builder.contract import Index, Manifest, load_index, load_manifest

# webdataset and datasets leave the tars they opened to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def dataset(sealed: Path) -> tuple[Path, Manifest, Index]:
    manifest = load_manifest(sealed / "manifests" / "gan100.json")
    return sealed, manifest, load_index(manifest, sealed)


def test_webdataset(dataset: tuple[Path, Manifest, Index]) -> None:
    root, manifest, index = dataset
    urls = [str(root / shard.url) for shard in manifest.shardlist]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("l8"))
    assert [sample["__key__"] for sample in samples] == index.key.tolist()
    for row, sample in enumerate(samples):
        assert {name for name in sample if not name.startswith("__")} == {"jpg", "json"}
        assert sample["jpg"].shape == (32, 32)
        assert list(sample["json"]["labels"].values()) == index.labels[row].tolist()
        assert sample["json"]["origin"] == index.origin[row]


def test_hugging_face_datasets(
    dataset: tuple[Path, Manifest, Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, manifest, index = dataset
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    files = {
        split: [str(root / s.url) for s in manifest.shardlist if s.split == split]
        for split in ("train", "val", "test")
    }
    loaded = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path))
    for split in files:
        rows = np.flatnonzero(index.split == split)
        assert loaded[split].num_rows == len(rows)
        for row, sample in zip(rows, loaded[split], strict=True):
            assert sample["__key__"] == index.key[row]
            assert sample["jpg"].size == (32, 32)
            assert list(sample["json"]["labels"].values()) == index.labels[row].tolist()
            assert sample["json"]["target"] == index.target[row]


def test_tar(dataset: tuple[Path, Manifest, Index]) -> None:
    root, manifest, index = dataset
    shard = manifest.shardlist[-1]
    listed = subprocess.run(
        ["tar", "tvf", root / shard.url, "--numeric-owner", "--utc"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stderr == ""
    keys = index.key[index.shard == shard.url]
    names = [line.split()[-1] for line in listed.stdout.splitlines()]
    assert names == [f"{key}.{ending}" for key in keys for ending in ("jpg", "json")]
    assert all(
        "-rw-r--r-- 0/0" in line and "1970-01-01" in line for line in listed.stdout.splitlines()
    )


def test_pyarrow_and_byte_offsets(dataset: tuple[Path, Manifest, Index]) -> None:
    root, manifest, _ = dataset
    table = pq.read_table(root / "manifests" / "gan100.parquet").to_pandas()
    assert len(table) == manifest.index.rows
    for _, row in table.iterrows():
        data = (root / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("JPEG", (32, 32), "L")
    assert set(table["origin"]) == {"real", "synthetic"}
    assert str(table["Mass"].dtype) == "int8"


def test_dali_idx(dataset: tuple[Path, Manifest, Index]) -> None:
    """Each line gives `extension offset size name` of the two members, as DALI's wds2idx does."""
    root, manifest, index = dataset
    for shard in manifest.shardlist:
        data = (root / shard.url).read_bytes()
        lines = (root / shard.url).with_suffix(".idx").read_text().splitlines()
        assert lines[0] == f"v1.2 {shard.nsamples}"
        rows = np.flatnonzero(index.shard == shard.url)
        for row, line in zip(rows, lines[1:], strict=True):
            kind, offset, size, name, kind2, offset2, size2, name2 = line.split()
            assert (kind, name) == ("jpg", f"{index.key[row]}.jpg")
            assert (int(offset), int(size)) == (index.offset[row], index.size[row])
            assert int(offset) % 512 == 0
            assert (kind2, name2) == ("json", f"{index.key[row]}.json")
            record = json.loads(data[int(offset2) : int(offset2) + int(size2)])
            assert record["key"] == index.key[row]
