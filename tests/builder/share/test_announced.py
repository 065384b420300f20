"""What a source may announce: whose release it is, and which paths and sizes it may have."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from builder.contract import CheckError, Manifest, sha256_file
from builder.share import announced as announcing
from builder.share.announced import Announced, Trust, announced, wanted
from builder.share.check import SIGNATURE, SUMS
from builder.share.receiving import giver_of
from builder.share.sign import sign
from builder.store import Cache

MANIFEST = "manifests/gan100.json"


def ask(folder: Path, trust: Trust | None = None) -> Announced:
    cache = Cache(folder=folder.parent / "cache", max_bytes=1 << 40)
    return announced(giver_of(str(folder), cache, cache), trust or Trust())


def seal_again(folder: Path) -> None:
    """What a forger does after a change: SHA256SUMS of what is there now."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (SUMS, SIGNATURE))
    lines = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    (folder / SUMS).write_text("".join(f"{lines[name]}  {name}\n" for name in sorted(lines)))


def signed_by(folder: Path, number: int) -> str:
    """Sign the release by the key of that number; its line for allowed signers comes back."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))
    key = folder.parent / f"key{number}"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    (folder / SIGNATURE).write_bytes(sign((folder / SUMS).read_bytes(), key))
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return f"person{number}@example.org {public.decode()}\n"


def test_the_digest_of_the_manifest_decides(shared_folder: Path, manifest: Manifest) -> None:
    assert ask(shared_folder, Trust(digest=manifest.digest)).manifest == manifest
    with pytest.raises(CheckError, match=f"digest {manifest.digest}, and --digest says 00"):
        ask(shared_folder, Trust(digest="0" * 64))
    path = shared_folder / MANIFEST
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    seal_again(shared_folder)
    with pytest.raises(CheckError, match="is not the release that you asked for"):
        ask(shared_folder, Trust(digest=manifest.digest))


def test_a_signature_by_somebody_on_the_list_decides(shared_folder: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    trust = Trust(allowed_signers=allowed)
    allowed.write_text(signed_by(shared_folder, 1))
    assert ask(shared_folder, trust).signer == "person1@example.org"
    signed_by(shared_folder, 2)
    with pytest.raises(CheckError, match="a signature by nobody in"):
        ask(shared_folder, trust)
    (shared_folder / SIGNATURE).unlink()
    with pytest.raises(CheckError, match=r"SHA256SUMS\.sig is missing"):
        ask(shared_folder, trust)
    assert ask(shared_folder).signature is None


def test_sums_that_were_changed_after_the_signature_are_refused(
    shared_folder: Path, tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text(signed_by(shared_folder, 1))
    (shared_folder / "README.md").write_text("Forged.")
    seal_again(shared_folder)
    with pytest.raises(CheckError, match="no valid signature of SHA256SUMS"):
        ask(shared_folder, Trust(allowed_signers=allowed))


PATHS = {
    "above": "../../x",
    "absolute": "/etc/passwd",
    "above inside": "data/../../x",
    "backslash": "data\\x",
    "dot": "./README.md",
    "url": "https://example.org/x",
}


@pytest.mark.parametrize("case", PATHS)
def test_a_path_out_of_the_folder_is_refused(shared_folder: Path, case: str) -> None:
    sums = shared_folder / SUMS
    lines = [*sums.read_text().splitlines(), f"{'0' * 64}  {PATHS[case]}"]
    sums.write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line[66:])))
    with pytest.raises(CheckError, match="only plain relative paths are allowed"):
        ask(shared_folder)


@pytest.mark.parametrize("path", ["data/x.bin", "shards/gan100/x.tar", "x.exe", "manifests/x"])
def test_a_file_that_belongs_to_no_release_is_refused(shared_folder: Path, path: str) -> None:
    (shared_folder / path).parent.mkdir(parents=True, exist_ok=True)
    (shared_folder / path).write_bytes(b"x")
    seal_again(shared_folder)
    with pytest.raises(CheckError, match=f"{path} is no part of a release of gan100"):
        ask(shared_folder)


def forge(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the manifest, and list it as a forger does."""
    path = folder / MANIFEST
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw, indent=2) + "\n")
    seal_again(folder)


def synthetic(raw: dict[str, object]) -> dict[str, object]:
    shards = raw["shardlist"]
    assert isinstance(shards, list)
    shard: dict[str, object] = next(each for each in shards if each["origin"] == "synthetic")
    return shard


PLACES = {
    "README.md": "its manifest places a shard at README.md: shards lie in shards/",
    "data/train-00000-of-00001.tar": "places a shard at data/",
    "shards/x": "places a shard at shards/x",
    "shards/../../x.tar": "only plain relative paths",
    "/x.tar": "only plain relative paths",
}


@pytest.mark.parametrize("url", PLACES)
def test_a_shard_is_placed_nowhere_else(shared_folder: Path, url: str) -> None:
    forge(shared_folder, lambda raw: synthetic(raw).update(url=url))
    with pytest.raises(CheckError, match=PLACES[url]):
        ask(shared_folder)


def test_a_manifest_of_other_shards_is_refused(shared_folder: Path) -> None:
    forge(shared_folder, lambda raw: synthetic(raw).update(sha256="0" * 64))
    with pytest.raises(CheckError, match=r"disagree about the sha256 of data/train-00000"):
        ask(shared_folder)


def test_a_manifest_that_is_none_is_named_without_a_path_of_this_machine(
    shared_folder: Path,
) -> None:
    (shared_folder / MANIFEST).write_text("{}")
    seal_again(shared_folder)
    with pytest.raises(CheckError) as caught:
        ask(shared_folder)
    assert str(caught.value).startswith(f"{shared_folder}: {MANIFEST} has schema None")


def test_one_release_has_one_manifest(shared_folder: Path) -> None:
    (shared_folder / "manifests" / "other.json").write_text("{}")
    seal_again(shared_folder)
    with pytest.raises(CheckError, match="lists 2 manifests instead of one"):
        ask(shared_folder)


def test_sizes_and_numbers_have_limits(
    shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {file.path: file for file in wanted(ask(shared_folder))}
    tar = "data/train-00000-of-00001.tar"
    assert next(iter(files)) == tar
    assert files[tar].size == (shared_folder / tar).stat().st_size
    for path, file in files.items():
        assert file.size >= (shared_folder / path).stat().st_size
        assert file.size < 1 << 27
    for number in range(announcing.MAX_DOCUMENTS):
        (shared_folder / f"{number}.md").write_text("x")
    seal_again(shared_folder)
    with pytest.raises(CheckError, match="more than 50 documents"):
        ask(shared_folder)
    monkeypatch.setattr(announcing, "MAX_SUMS", 1000)
    with pytest.raises(CheckError, match="SHA256SUMS is larger than the 1,000 bytes"):
        ask(shared_folder)
