"""A release from one home to another: every byte, with kills, damages and what is in its place."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builder.contract import CheckError, UsageError, load_manifest, sha256_file
from builder.progress import progress
from builder.share.announced import Trust
from builder.share.check import SIGNATURE, SUMS, check_release
from builder.share.pull import Pulled, pull
from builder.share.rebuild import Outcome
from builder.share.sign import sign
from builder.verify import verify

Hashes = Callable[[Path], dict[str, str]]
TAR = "data/train-00000-of-00001.tar"

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    path = tmp_path / "key"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    return path


def fetch(source: Path, out: Path | None) -> Pulled:
    return pull(str(source), out, Trust(), progress=progress)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_one_shared_another_pulls_and_rebuilds(
    shared_once: Path,
    sealed_once: Path,
    home: Path,
    hashes: Hashes,
    rebuilt: Callable[..., Outcome],
) -> None:
    pulled = fetch(shared_once, home)
    assert not pulled.here
    there = hashes(shared_once)
    here = hashes(home)
    assert {path: here[path] for path in there} == there
    shards = {path: digest for path, digest in here.items() if path not in there}
    sealed = hashes(sealed_once)
    assert {*shards} == {"shards/gan100/train-00000-of-00001" + end for end in (".tar", ".idx")}
    assert all(sealed[path] == digest for path, digest in shards.items())
    outcome = rebuilt(pulled.path)
    assert outcome.proof.same
    manifest = load_manifest(sealed_once / "manifests" / "gan100.json")
    assert outcome.manifest.digest == manifest.digest == load_manifest(pulled.path).digest
    assert list(verify(pulled.path)) == []
    for shard in manifest.shardlist:
        assert sha256_file(home / shard.url) == shard.sha256
    assert list(check_release(home)) == []  # what was rebuilt beside it is no fault
    assert fetch(shared_once, home).here


def test_the_folder_has_the_datasets_name_unless_it_is_named(
    shared_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetch(shared_once, None).path == Path("gan100/manifests/gan100.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gan100"]


def test_each_flipped_byte_is_refused_and_its_file_is_named(
    shared_folder: Path, home: Path
) -> None:
    random = np.random.default_rng(5)
    for path in files_of(shared_folder):
        data, name = path.read_bytes(), path.relative_to(shared_folder).as_posix()
        for place in {0, len(data) - 1, *random.integers(0, len(data), 3).tolist()}:
            damaged = bytearray(data)
            damaged[place] ^= 1 << int(random.integers(0, 8))
            path.write_bytes(damaged)
            with pytest.raises(CheckError) as caught:
                fetch(shared_folder, home / f"{path.name}-{place}")
            assert name in str(caught.value), (name, place)
        path.write_bytes(data)
    assert not [path for path in home.iterdir() if not path.name.startswith(".")]
    shutil.rmtree(home)
    assert not fetch(shared_folder, home).here


def test_a_missing_or_cut_file_is_refused_and_named(shared_folder: Path, home: Path) -> None:
    for path in files_of(shared_folder):
        data, name = path.read_bytes(), path.relative_to(shared_folder).as_posix()
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(CheckError, match=name):
            fetch(shared_folder, home / f"{path.name}-cut")
        path.unlink()
        with pytest.raises(CheckError, match=name):
            fetch(shared_folder, home / f"{path.name}-missing")
        path.write_bytes(data)
    assert not [path for path in home.iterdir() if not path.name.startswith(".")]


def test_what_is_not_announced_does_not_come(shared_folder: Path, home: Path) -> None:
    (shared_folder / "data" / "extra.tar").write_bytes(b"x")
    (shared_folder / "shards").mkdir()
    (shared_folder / "shards" / "x.tar").write_bytes(b"x")
    fetch(shared_folder, home)
    assert not (home / "data" / "extra.tar").exists()
    assert not (home / "shards" / "x.tar").exists()


@pytest.mark.parametrize("name", ["README.md", TAR])
def test_a_link_in_a_folder_is_not_followed(
    shared_folder: Path, home: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    shutil.move(shared_folder / name, outside)
    (shared_folder / name).symlink_to(outside)
    with pytest.raises(CheckError, match=f"{name}' leads out"):
        fetch(shared_folder, home)
    shutil.move(outside, shared_folder / "inside")
    (shared_folder / name).unlink()
    (shared_folder / name).symlink_to(shared_folder / "inside")
    with pytest.raises(CheckError, match=f"{name} is a link"):
        fetch(shared_folder, home)
    assert not home.exists()


def test_what_is_in_its_place_is_not_touched(
    shared_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"something else than this release.*another --out"):
        fetch(shared_once, tmp_path)
    with pytest.raises(UsageError, match="something else"):
        fetch(shared_once, tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="is the release itself"):
        fetch(shared_once, shared_once)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the folder that you are in"):
        fetch(shared_once, Path())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_copy_is_not_called_whole(shared_once: Path, home: Path) -> None:
    fetch(shared_once, home)
    (home / "README.md").write_text("changed")
    with pytest.raises(CheckError, match=r"but damaged \(README\.md"):
        fetch(shared_once, home)


def test_shards_that_were_removed_from_their_place_come_back(shared_once: Path, home: Path) -> None:
    fetch(shared_once, home)
    shutil.rmtree(home / "shards")
    assert fetch(shared_once, home).here
    assert sha256_file(home / "shards/gan100/train-00000-of-00001.tar") == sha256_file(home / TAR)


def test_a_signature_comes_along(shared_folder: Path, home: Path, key: Path) -> None:
    signature = sign((shared_folder / SUMS).read_bytes(), key)
    (shared_folder / SIGNATURE).write_bytes(signature)
    fetch(shared_folder, home)
    assert (home / SIGNATURE).read_bytes() == signature
    (shared_folder / SIGNATURE).write_bytes(signature[:-40] + signature[-30:])
    with pytest.raises(CheckError, match=r"SHA256SUMS\.sig"):
        fetch(shared_folder, home.with_name("other"))


def test_where_there_are_no_links_files_are_copied(
    shared_once: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", none)
    fetch(shared_once, home)
    assert (home / TAR).stat().st_nlink == 1
    assert sha256_file(home / "shards/gan100/train-00000-of-00001.tar") == sha256_file(home / TAR)


def test_files_that_do_not_belong_together_are_refused_and_nothing_of_them_stays(
    shared_folder: Path, home: Path
) -> None:
    idx = shared_folder / TAR.replace(".tar", ".idx")
    idx.write_bytes(idx.read_bytes().replace(b"1", b"2", 1))
    sums = shared_folder / SUMS
    lines = [line.split("  ") for line in sums.read_text().splitlines()]
    sums.write_text("".join(f"{sha256_file(shared_folder / n)}  {n}\n" for _, n in lines))
    with pytest.raises(CheckError, match=r"00001\.idx does not point at the members"):
        fetch(shared_folder, home)
    assert not home.exists()
    assert [path.name for path in files_of(home.parent)] == [".lock"]
