import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.contract import (
    CheckError,
    Index,
    Manifest,
    ShardEntry,
    UsageError,
    sha256_bytes,
    sha256_file,
    tar,
)
from builder.progress import progress
from builder.share.shards import RealRow, check_real_rows, examine, synthetic_shards

Change = Callable[[tar.Member], tar.Member]


def test_every_shard_and_every_real_image_is_read(
    manifest: Manifest, index: Index, sealed_once: Path
) -> None:
    found = examine(manifest, index, sealed_once, progress)
    assert [each.path for each in found.tars] == [*synthetic_shards(manifest)]
    assert len(found.rows.key) == int((index.origin == "synthetic").sum())
    assert len(found.real) == int((index.origin == "real").sum())
    assert {row.split for row in found.real} == {"train", "val", "test"}
    assert found.rows.names() == {"gan100"}
    for each, idx in zip(found.tars, found.idx, strict=True):
        assert each.source is not None
        assert (each.size, each.sha256) == (each.source.stat().st_size, sha256_file(each.source))
        assert idx.data == each.source.with_suffix(".idx").read_bytes()
        assert idx.path == each.path.replace(".tar", ".idx")
        assert each.path.startswith("data/train-0000")


def test_the_sha256_of_a_real_image_is_that_of_its_member(
    manifest: Manifest, index: Index, sealed_once: Path
) -> None:
    row = examine(manifest, index, sealed_once, progress).real[0]
    place = index.key.tolist().index(row.key)
    data = (sealed_once / index.shard[place]).read_bytes()
    start = int(index.offset[place])
    assert sha256_bytes(data[start : start + int(index.size[place])]) == row.sha256


def test_a_dataset_of_real_images_is_refused(
    manifest: Manifest, index: Index, sealed_once: Path
) -> None:
    real = tuple(shard for shard in manifest.shardlist if shard.origin == "real")
    alone = replace(manifest, shardlist=real)
    with pytest.raises(UsageError, match="real images alone, and real images are never shared"):
        examine(alone, index, sealed_once, progress)


def test_shards_that_are_not_there_are_named(
    manifest: Manifest, index: Index, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"shards of gan100 are not .*--shards-root"):
        examine(manifest, index, tmp_path, progress)


def changed(root: Path, manifest: Manifest, index: Index, change: Change) -> tuple[Manifest, Index]:
    """A sealed dataset whose first synthetic sample was changed, sealed again by a forger."""
    shard = next(s for s in manifest.shardlist if s.origin == "synthetic")
    path, codec = root / shard.url, manifest.image.codec
    blocks, row = [], index.shard.tolist().index(shard.url)
    columns = {name: np.array(getattr(index, name)) for name in ("key", "offset", "size")}
    place = 0
    for i, member in enumerate(tar.walk(path, codec, manifest.image.max_bytes)):
        member = change(member) if i == 0 else member
        columns["key"][row + i] = member.key
        columns["offset"][row + i], columns["size"][row + i] = place + 512, len(member.image)
        for suffix, data in ((codec, member.image), ("json", member.json)):
            head = tar.header(f"{member.key}.{suffix}", len(data))
            blocks.append(head + data + tar.padding(len(data)))
            place += len(blocks[-1])
    data = b"".join([*blocks, tar.END])
    path.write_bytes(data)
    entry = replace(shard, filesize=len(data), sha256=sha256_bytes(data))
    shards = tuple(entry if s == shard else s for s in manifest.shardlist)
    return replace(manifest, shardlist=shards), replace(index, **columns)


def real_image(root: Path, manifest: Manifest) -> bytes:
    shard = next(s for s in manifest.shardlist if s.origin == "real")
    walk = tar.walk(root / shard.url, manifest.image.codec, manifest.image.max_bytes)
    return next(walk).image


def noted(image: bytes) -> bytes:
    """The same pixels with a comment."""
    sink = io.BytesIO()
    pixels = np.asarray(Image.open(io.BytesIO(image)))
    Image.fromarray(pixels).save(sink, "JPEG", comment=b"patient 13")
    return sink.getvalue()


def with_patient(member: tar.Member) -> tar.Member:
    record = {**json.loads(member.json), "patient": "13"}
    return replace(member, json=json.dumps(record).encode())


def test_a_real_image_among_the_synthetic_ones_is_found(
    sealed: Path, manifest: Manifest, index: Index
) -> None:
    image = real_image(sealed, manifest)
    forged = changed(sealed, manifest, index, lambda member: replace(member, image=image))
    with pytest.raises(CheckError, match="is a real image: it is not shared"):
        examine(*forged, sealed, progress)


def test_a_real_shard_that_is_called_synthetic_is_found(
    sealed: Path, manifest: Manifest, index: Index
) -> None:
    def forge(shard: ShardEntry) -> ShardEntry:
        real_train = shard.origin == "real" and shard.split == "train"
        return replace(shard, origin="synthetic") if real_train else shard

    forged = replace(manifest, shardlist=tuple(map(forge, manifest.shardlist)))
    told = replace(index, origin=np.where(index.split == "train", "synthetic", index.origin))
    with pytest.raises(CheckError, match=r"differs from the index|key is not that"):
        examine(forged, told, sealed, progress)


CHANGES: dict[str, tuple[Change, str]] = {
    "json": (with_patient, "what it says of itself differs"),
    "comment": (lambda m: replace(m, image=noted(m.image)), "a segment 0xfe beside its pixels"),
    "key": (lambda m: replace(m, key="patient00013"), "differs from the index"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_sample_that_says_more_than_it_may_is_found(
    sealed: Path, manifest: Manifest, index: Index, case: str
) -> None:
    change, message = CHANGES[case]
    with pytest.raises(CheckError, match=message):
        examine(*changed(sealed, manifest, index, change), sealed, progress)


def test_a_key_that_may_name_a_patient_is_found(
    sealed: Path, manifest: Manifest, index: Index
) -> None:
    def rename(member: tar.Member) -> tar.Member:
        said = member.json.replace(member.key.encode(), b"p10000032-x")
        return replace(member, key="p10000032-x", json=said)

    forged = changed(sealed, manifest, index, rename)
    with pytest.raises(CheckError, match="its key is not that of a synthetic image"):
        examine(*forged, sealed, progress)


def test_a_damaged_shard_is_found(sealed: Path, manifest: Manifest, index: Index) -> None:
    path = sealed / next(s.url for s in manifest.shardlist if s.origin == "synthetic")
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckError, match="sha256 differs"):
        examine(manifest, index, sealed, progress)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"key": "patient13"}, "a key or a sha256 that is none"),
        ({"sha256": "AB"}, "a key or a sha256 that is none"),
        ({"split": "test"}, "disagree about the splits"),
    ],
)
def test_a_list_of_real_images_that_is_none_is_found(change: dict[str, str], fault: str) -> None:
    rows = [RealRow(key=f"real-{i:016x}", split="train", sha256=f"{i:064x}") for i in range(2)]
    shard = ShardEntry(
        url="a.tar", nsamples=2, filesize=9999, sha256="0" * 64, split="train", origin="real"
    )
    assert not list(check_real_rows(rows, [shard]))
    assert fault in "".join(check_real_rows([rows[0], replace(rows[1], **change)], [shard]))
    assert "lists an image twice" in "".join(check_real_rows([rows[0]] * 2, [shard]))
