"""A shard of over 2 GiB: offsets beyond 32 bits in the index, in verify and in the stream."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from builder.contract import (
    ImageSpec,
    Index,
    IndexEntry,
    Manifest,
    Sample,
    ShardEntry,
    index_bytes,
    load_index,
    save_manifest,
    sha256_bytes,
    sha256_file,
    tar,
)
from builder.verify import verify
from builder.write.encode import encode
from trainer.stream.loader import StreamDataset

SIDE, COUNT = 4096, 130  # 2.03 GiB of noise
URL, TABLE = "shards/real/train-00000-of-00001.tar", "manifests/large.parquet"


NAMES = ("Mass",)
KEYS = [f"real-{i:05d}" for i in range(COUNT)]
IMAGE = ImageSpec(height=SIDE, width=SIDE, codec="png", quality=0)


def seal(root: Path) -> Path:
    """The manifest of a dataset of one shard; all of its images are the same noise."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    data = encode(noise, IMAGE)
    table = index_bytes(index_of(write(root / URL, data), len(data)), NAMES)
    (root / TABLE).parent.mkdir()
    (root / TABLE).write_bytes(table)
    entry = ShardEntry(
        url=URL,
        nsamples=COUNT,
        filesize=(root / URL).stat().st_size,
        sha256=sha256_file(root / URL),
        split="train",
        origin="real",
    )
    manifest = Manifest(
        schema=2,
        name="large",
        pathologies=NAMES,
        image=IMAGE,
        recipe={},
        plan=None,
        generator=None,
        source={},
        software={},
        index=IndexEntry(url=TABLE, rows=COUNT, sha256=sha256_bytes(table)),
        shardlist=(entry,),
    )
    path = root / "manifests" / "large.json"
    save_manifest(manifest, path)
    assert int(load_index(manifest, root).offset[-1]) > 1 << 31
    return path


def write(shard: Path, data: bytes) -> list[int]:
    """The shard with the image `data` in each sample; where the images begin."""
    lines, offsets = list[str](), list[int]()
    shard.parent.mkdir(parents=True)
    with shard.open("wb") as file:
        for key in KEYS:
            sample = Sample(
                key=key, split="train", origin="real", target="", draw=-1, patient="", labels=(1,)
            )
            text = sample.to_json(NAMES)
            file.write(tar.header(f"{key}.png", len(data)))
            offsets.append(file.tell())
            file.write(data + tar.padding(len(data)))
            file.write(tar.header(f"{key}.json", len(text)) + text + tar.padding(len(text)))
            lines.append(tar.idx_line(key, "png", offsets[-1], len(data), len(text)))
        file.write(tar.END)
    shard.with_suffix(".idx").write_bytes(tar.idx_text(lines))
    return offsets


def index_of(offsets: list[int], size: int) -> Index:
    def words(*values: str) -> npt.NDArray[np.object_]:
        return np.array(values * (COUNT // len(values)), dtype=object)

    return Index(
        key=words(*KEYS),
        split=words("train"),
        origin=words("real"),
        shard=words(URL),
        offset=np.array(offsets, np.int64),
        size=np.full(COUNT, size, np.int32),
        labels=np.ones((COUNT, 1), np.int8),
        target=words(""),
        draw=np.full(COUNT, -1, np.int64),
        patient=words(*(f"{i:016x}" for i in range(COUNT))),
        **{name: words("") for name in ("view", "sex", "age")},
        sketch=np.empty((COUNT, 0), np.uint8),
    )


@pytest.mark.slow
@pytest.mark.long
def test_a_shard_of_more_than_2_gib_verifies_and_streams(tmp_path: Path) -> None:
    path = seal(tmp_path)
    assert (tmp_path / URL).stat().st_size > 1 << 31
    assert list(verify(path)) == []
    keys = [item["key"] for item in StreamDataset(path, threads=1)]
    assert sorted(keys) == KEYS
