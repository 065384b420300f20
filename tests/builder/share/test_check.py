import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builder.contract import (
    CheckError,
    UsageError,
    load_manifest,
    sha256_bytes,
    sha256_file,
    tar,
)
from builder.progress import progress
from builder.share.check import SIGNATURE, SUMS, check_release, manifest_of, read_sums
from builder.share.release import Release
from builder.share.sign import sign
from builder.share.writing import write_release


@pytest.fixture
def signed(shared_folder: Path, tmp_path: Path) -> Path:
    key = tmp_path / "key"
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    (shared_folder / SIGNATURE).write_bytes(sign((shared_folder / SUMS).read_bytes(), key))
    return shared_folder


def seal_again(folder: Path) -> None:
    """What a forger does after a change: SHA256SUMS of what is there now."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (SUMS, SIGNATURE))
    lines = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    (folder / SUMS).write_text("".join(f"{lines[name]}  {name}\n" for name in sorted(lines)))


def test_a_sound_release_has_no_fault(signed: Path) -> None:
    done: list[int] = []
    assert list(check_release(signed, done.append)) == []
    assert sum(done) > 0


def test_each_flipped_byte_is_found_and_its_file_is_named(signed: Path) -> None:
    random = np.random.default_rng(5)
    for path in sorted(p for p in signed.rglob("*") if p.is_file()):
        data = path.read_bytes()
        places = {0, len(data) - 1, *random.integers(0, len(data), 4).tolist()}
        for place in places:
            damaged = bytearray(data)
            damaged[place] ^= 1 << int(random.integers(0, 8))
            path.write_bytes(damaged)
            faults = list(check_release(signed))
            name = path.relative_to(signed).as_posix()
            assert any(name in fault for fault in faults), (name, place, faults)
        path.write_bytes(data)
    assert list(check_release(signed)) == []


def test_every_missing_file_is_found(signed: Path) -> None:
    for path in sorted(p for p in signed.rglob("*") if p.is_file() and p.name != SIGNATURE):
        data = path.read_bytes()
        path.unlink()
        assert any(path.name in fault for fault in check_release(signed))
        path.write_bytes(data)


def test_a_file_too_many_is_found_but_not_those_of_git(shared_folder: Path) -> None:
    (shared_folder / ".gitattributes").write_text("*.tar filter=lfs\n")
    (shared_folder / "data" / "extra.png").write_bytes(b"x")
    (shared_folder / "link").symlink_to(shared_folder / "README.md")
    assert list(check_release(shared_folder)) == [
        "data/extra.png is no part of the release: SHA256SUMS does not list it.",
        "link is a link: a release holds files alone.",
    ]


def test_what_a_recipient_built_next_to_it_is_no_fault(shared_folder: Path) -> None:
    manifest = manifest_of(shared_folder)
    shutil.copy(manifest, manifest.with_name("gan100-rebuilt.json"))
    (shared_folder / "gan100-differences.txt").write_text("real-0: missing\n")
    assert manifest_of(shared_folder) == manifest
    assert list(check_release(shared_folder)) == []


FORGED = {
    "shard": ("data/train-00000-of-*.tar", "is not the shard that the manifest lists"),
    "idx": ("data/train-00000-of-*.idx", "does not point at the members"),
    "real": ("real.parquet", "real.parquet is cut, damaged or not readable"),
    "metadata": (
        "metadata/train.parquet",
        "metadata/train.parquet is cut, damaged or not readable",
    ),
    "manifest": ("manifests/gan100.json", "not valid JSON"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forger_who_writes_new_sums_is_found(shared_folder: Path, case: str) -> None:
    pattern, message = FORGED[case]
    path = next(shared_folder.glob(pattern))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    seal_again(shared_folder)
    assert message in "\n".join(check_release(shared_folder))


def test_real_images_that_were_added_are_found(shared_folder: Path, sealed_once: Path) -> None:
    real = next((sealed_once / "shards" / "real").glob("*.tar"))
    shutil.copy(real, shared_folder / "data" / "val-00000-of-00001.tar")
    seal_again(shared_folder)
    faults = list(check_release(shared_folder))
    assert "data/val-00000-of-00001.tar is no part of a release of gan100." in faults


LIES = {
    "label": ("Edema", lambda value: 1 - abs(value), "says of itself differs from"),
    "target": ("target", lambda _: "Edema", "says of itself differs from"),
    "place": ("offset", lambda value: value + 512, "points elsewhere"),
    "key": ("key", lambda value: f"{value}0", "points elsewhere"),
    "shard": ("shard", lambda value: value.replace("-0000", "-0009"), "points elsewhere"),
}


@pytest.mark.parametrize("case", LIES)
def test_a_table_that_lies_about_an_image_is_found(shared_folder: Path, case: str) -> None:
    column, change, message = LIES[case]
    path = shared_folder / "metadata" / "train.parquet"
    table = pq.read_table(path)
    field = table.schema.field(column)
    values = table[column].to_pylist()
    values[3] = change(values[3])
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, field, pa.array(values, type=field.type)), path)
    seal_again(shared_folder)
    faults = list(check_release(shared_folder))
    assert len(faults) == 1
    assert message in faults[0]
    assert "metadata/train.parquet" in faults[0]


FORGED_MEMBERS = {
    "a patient": (b'"origin":"synthetic"', b'"pat_id":"p10000032"'),
    "another key": (b'{"key":"gan100-', b'{"key":"gan101-'),
    "another label": (b'"Edema":', b'"Emeda":'),
    "no target": (b'"target":', b'"tarbet":'),
    "no JSON": (b'{"key":', b'["key":'),
}


@pytest.mark.parametrize("case", FORGED_MEMBERS)
def test_a_sample_that_lies_in_its_shard_is_found(shared_folder: Path, case: str) -> None:
    shard = next(shared_folder.glob("data/train-00000-of-*.tar"))
    manifest = manifest_of(shared_folder)
    before, data = sha256_file(shard), shard.read_bytes()
    old, new = FORGED_MEMBERS[case]
    assert len(old) == len(new)
    shard.write_bytes(data.replace(old, new, 1))
    assert before != sha256_file(shard)
    manifest.write_text(manifest.read_text().replace(before, sha256_file(shard)))
    seal_again(shared_folder)
    faults = list(check_release(shared_folder))
    said = "what it says of itself differs from metadata/train.parquet"
    assert any(said in fault and shard.name in fault for fault in faults), faults


def test_a_real_image_among_the_synthetic_ones_is_found(shared_folder: Path) -> None:
    table = pq.read_table(shared_folder / "metadata" / "train.parquet").slice(2, 1).to_pylist()[0]
    data = (shared_folder / table["shard"]).read_bytes()
    image = data[table["offset"] : table["offset"] + table["size"]]
    path = shared_folder / "real.parquet"
    real = pq.read_table(path)
    digests = [sha256_bytes(image), *real["sha256"].to_pylist()[1:]]
    pq.write_table(real.set_column(2, "sha256", pa.array(digests)), path)
    seal_again(shared_folder)
    assert list(check_release(shared_folder)) == [
        f"{table['shard']}, sample {table['key']}, is a real image: it is not shared."
    ]


def test_a_shard_with_fewer_images_than_its_table_is_found(shared_folder: Path) -> None:
    shard = next(shared_folder.glob("data/train-00000-of-*.tar"))
    manifest = manifest_of(shared_folder)
    entry = next(s for s in load_manifest(manifest).shardlist if s.origin == "synthetic")
    last = [*tar.walk(shard, "jpg", 1 << 20)][-1]
    shard.write_bytes(shard.read_bytes()[: last.offset - tar.BLOCK] + tar.END)
    idx = shard.with_suffix(".idx")
    lines = idx.read_text().splitlines()[1:-1]
    idx.write_bytes(tar.idx_text(lines))
    text = manifest.read_text().replace(entry.sha256, sha256_file(shard))
    manifest.write_text(text.replace(str(entry.filesize), str(shard.stat().st_size)))
    seal_again(shared_folder)
    assert list(check_release(shared_folder)) == [
        f"data/{shard.name} holds fewer than the {entry.nsamples} samples of "
        "metadata/train.parquet."
    ]


@pytest.mark.parametrize(
    "text",
    ["nonsense\n", f"{'0' * 64}  ../../etc/passwd\n", f"{'0' * 64}  a\n{'0' * 64}  a\n"],
)
def test_sums_that_are_none_are_refused(shared_folder: Path, text: str) -> None:
    (shared_folder / SUMS).write_text(text)
    with pytest.raises(CheckError):
        read_sums(shared_folder)
    assert len(list(check_release(shared_folder))) == 1


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    assert "Cannot read" in next(check_release(tmp_path))
    with pytest.raises(UsageError, match="has 0 manifests instead of one"):
        manifest_of(tmp_path)


def test_the_signature_is_written_with_the_release(
    composed: Release, tmp_path: Path, signed: Path
) -> None:
    folder = tmp_path / "new"
    assert write_release(composed, folder, key=tmp_path / "key", progress=progress)
    assert (folder / SIGNATURE).read_bytes() == (signed / SIGNATURE).read_bytes()
