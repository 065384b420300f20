"""What a source says that it has, checked against what the recipient knows → Announced.

SHA256SUMS and the manifest are all that is read here. They say which files are fetched, and how
large each may be, before the first of them is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.contract import CheckError, Manifest, printable, sha256_bytes
from builder.contract.manifest import parse_manifest
from builder.contract.record import MAX_JSON
from builder.share.check import SIGNATURE, SUMS, check_names, parse_sums
from builder.share.metadata import MAX_ROW, METADATA, REAL
from builder.share.receiving import Giver
from builder.share.shards import synthetic_shards
from builder.share.sign import MAX_SIGNATURE, check_signer
from builder.store import OutOfReach, Refused

MAX_SUMS = 16 << 20  # bytes; a hundred thousand shards
MAX_DOCUMENT = 64 << 20  # of a card, a licence, croissant.json
MAX_DOCUMENTS = 50
MAX_LINES = 512  # bytes of the lines of an image in an .idx

_MANIFEST = re.compile(r"manifests/[^/]+\.json")
_TABLE = re.compile(r"manifests/[^/]+\.parquet")
_SHARD = re.compile(r"shards/.+\.tar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the recipient knows of a release from elsewhere."""

    digest: str | None = None  # of the manifest
    allowed_signers: Path | None = None  # a file of OpenSSH


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a source says it has; nothing else of it has been read."""

    sums: bytes
    files: dict[str, str]  # path → sha256
    signature: bytes | None
    signer: str
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that is fetched."""

    path: str
    sha256: str
    size: int  # bytes, for a shard exactly, otherwise at most
    shard: bool


def announced(giver: Giver, trust: Trust) -> Announced:
    """What the source says it has, if it is what `trust` names."""
    sums = giver.read(SUMS, MAX_SUMS)
    signature, signer = None, ""
    try:
        signature = giver.read(SIGNATURE, MAX_SIGNATURE)
    except Refused:  # so some stores answer for a file that is not there
        if trust.allowed_signers:
            raise
    except CheckError as error:  # few are signed
        if trust.allowed_signers or isinstance(error, OutOfReach):
            raise
    if trust.allowed_signers and signature is not None:
        signer = check_signer(sums, signature, trust.allowed_signers)
    files = parse_sums(sums)
    manifest = _manifest(giver, files)
    if trust.digest is not None and manifest.digest != trust.digest:
        raise CheckError(
            f"{giver.shown} is not the release that you asked for: its manifest has the digest "
            f"{manifest.digest}, and --digest says {trust.digest}."
        )
    _check_files(giver, manifest, files)
    return Announced(sums=sums, files=files, signature=signature, signer=signer, manifest=manifest)


def _manifest(giver: Giver, files: Mapping[str, str]) -> Manifest:
    paths = [path for path in files if _MANIFEST.fullmatch(path)]
    if len(paths) != 1:
        raise CheckError(
            f"{giver.shown} is no release: its {SUMS} lists {len(paths)} manifests instead of one."
        )
    data = read_small(giver, paths[0], files[paths[0]], MAX_JSON)
    return parse_manifest(data, f"{giver.shown}: {paths[0]}")


def _check_files(giver: Giver, manifest: Manifest, files: dict[str, str]) -> None:
    """CheckError unless the files are those of a release of this manifest."""
    shards = synthetic_shards(manifest)
    if fault := next(check_names(manifest, files), None):
        raise CheckError(f"{giver.shown}: {SUMS} is wrong: {fault}")
    if len(files) > MAX_DOCUMENTS + 2 * len(shards):
        raise CheckError(
            f"{giver.shown} is no release: it has more than {MAX_DOCUMENTS} documents."
        )
    for path, shard in shards.items():
        if files[path] != shard.sha256:
            raise CheckError(
                f"{giver.shown}: {SUMS} and the manifest disagree about the sha256 of {path}."
            )
        if not _SHARD.fullmatch(shard.url):
            raise CheckError(
                f"{giver.shown}: its manifest places a shard at {printable(shard.url)}: shards lie "
                "in shards/."
            )


def read_small(giver: Giver, path: str, sha256: str, max_bytes: int) -> bytes:
    """The content of a small file; CheckError where it is another one, twice."""
    for _ in range(2):
        data = giver.read(path, max_bytes)
        if sha256_bytes(data) == sha256:
            return data
    raise CheckError(
        f"{path} of {giver.shown} does not have the sha256 that {SUMS} says: one of the two was "
        "changed; ask its publisher for it again."
    )


def wanted(said: Announced) -> list[File]:
    """The files that are fetched, the shards first."""
    shards = synthetic_shards(said.manifest)
    indexes = {path.replace(".tar", ".idx"): shard.nsamples for path, shard in shards.items()}
    files = []
    for path, sha256 in said.files.items():
        if path in shards:
            size = shards[path].filesize
        elif path in indexes:
            size = MAX_LINES * (indexes[path] + 1)
        else:
            size = _most(path, said.manifest)
        files.append(File(path=path, sha256=sha256, size=size, shard=path in shards))
    return sorted(files, key=lambda file: (not file.shard, file.path))


def _most(path: str, manifest: Manifest) -> int:
    """How many bytes a table or document may have."""
    if path in (METADATA, REAL) or _TABLE.fullmatch(path):
        return MAX_ROW * (manifest.index.rows + 100)
    return MAX_JSON if _MANIFEST.fullmatch(path) else MAX_DOCUMENT
