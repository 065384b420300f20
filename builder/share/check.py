"""A release as it arrived → all of its faults, each with the name of the file.

Every byte counts: SHA256SUMS lists each file, the manifest the shards, and the tables, the .idx
files and the samples must agree. A stranger's release is read with the contract's limits.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from builder.contract import (
    CheckError,
    Manifest,
    UsageError,
    check_url,
    load_manifest,
    sha256_file,
)
from builder.contract.record import read_bytes
from builder.progress import Advance
from builder.share.audited import AUDIT, check_audit
from builder.share.metadata import METADATA, REAL, read_metadata, read_real
from builder.share.shards import (
    RealRow,
    Rows,
    check_real_rows,
    idx_bytes,
    parts,
    shard_faults,
    synthetic_shards,
)
from builder.share.sign import check_signature

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"

# What a recipient's xbuild rebuild, merge, audit or view writes next to a release.
_GROWN = re.compile(
    r"shards/|audits/|galleries/|manifests/[^/]+\.(json|parquet|png)$|[^/]+-differences\.txt$"
)
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")
_DOCUMENTS = ("README.md", "LICENSE.md", "croissant.json", METADATA)


def check_release(folder: Path, advance: Advance = lambda _: None) -> Iterator[str]:
    """The faults of a release, one sentence each; a sound one has none.

    `advance` is called with the number of images done. What a recipient has built next to it, in
    shards/, audits/, galleries/ and manifests/, is no fault, and is not looked at. That the
    publisher is who they say is told by the signature alone: see `sign.check_signer`.
    """
    try:
        sums = read_sums(folder)
    except CheckError as error:
        yield str(error)
        return
    faults = [*_check_files(folder, sums), *_check_own_signature(folder)]
    yield from faults
    if not faults:
        yield from _check_content(folder, sums, advance)


def read_sums(folder: Path) -> dict[str, str]:
    """Path → sha256 of each file; CheckError unless SHA256SUMS is written as a release has it."""
    return parse_sums(read_bytes(folder / SUMS))


def parse_sums(data: bytes) -> dict[str, str]:
    """Path → sha256 of each file that the content of a SHA256SUMS lists; CheckError as above."""
    found: dict[str, str] = {}
    for line in data.decode("ascii", errors="replace").splitlines():
        if not (match := _LINE.fullmatch(line)):
            raise CheckError(f"{SUMS} has a line that is no sha256 with a path.")
        try:
            check_url(match[2])
        except CheckError as error:
            raise CheckError(f"{SUMS}: {error}") from None
        found[match[2]] = match[1]
    text = "".join(f"{found[path]}  {path}\n" for path in sorted(found))
    if text.encode() != data:
        raise CheckError(f"{SUMS} is not in the form in which a release has it.")
    return found


def check_names(manifest: Manifest, sums: dict[str, str]) -> Iterator[str]:
    """The faults of a list of files: a release of this manifest has these, and no others."""
    shards = synthetic_shards(manifest)
    real = any(shard.origin == "real" for shard in manifest.shardlist)
    needed = {*_DOCUMENTS, f"manifests/{manifest.name}.json", *shards}
    needed |= {name.replace(".tar", ".idx") for name in shards}
    needed.add(REAL if real else f"manifests/{manifest.name}.parquet")
    for name in sorted(needed - {*sums}):
        yield f"{name} is missing: a release of {manifest.name} has it."
    for name in sorted({*sums} - needed):
        if PurePosixPath(name).suffix not in (".md", ".html", ".json") or "/" in name:
            yield f"{name} is no part of a release of {manifest.name}."


def manifest_of(folder: Path) -> Path:
    """The manifest of a release folder: the one that SHA256SUMS lists, if there are several.

    UsageError where there is none, or where nothing says which.
    """
    found = sorted((folder / "manifests").glob("*.json"))
    if len(found) > 1 and (folder / SUMS).is_file():
        listed = read_sums(folder)
        found = [path for path in found if f"manifests/{path.name}" in listed]
    if len(found) != 1:
        raise UsageError(
            f"{folder} is no release: its folder manifests/ has {len(found)} manifests instead "
            "of one."
        )
    return found[0]


def _check_files(folder: Path, sums: dict[str, str]) -> Iterator[str]:
    """What is missing, what is too much, and what has other bytes."""
    present = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() or path.is_symlink()
    }
    for name, path in present.items():
        hidden = PurePosixPath(name).parts[0].startswith(".")  # .git, .gitattributes, .cache
        if path.is_symlink():
            yield f"{name} is a link: a release holds files alone."
        elif name not in (*sums, SUMS, SIGNATURE) and not hidden and not _GROWN.match(name):
            yield f"{name} is no part of the release: {SUMS} does not list it."
    for name, sha256 in sums.items():
        if name not in present:
            yield f"{name} is missing."
        elif not present[name].is_symlink() and sha256_file(present[name]) != sha256:
            yield f"{name} does not have the sha256 that {SUMS} says: one of the two was changed."


def _check_own_signature(folder: Path) -> Iterator[str]:
    if (folder / SIGNATURE).is_file():
        try:
            check_signature(read_bytes(folder / SUMS), read_bytes(folder / SIGNATURE))
        except CheckError as error:
            yield str(error)


def _check_content(folder: Path, sums: dict[str, str], advance: Advance) -> Iterator[str]:
    """Whether manifest, shards and tables belong together."""
    try:
        path = manifest_of(folder)
        manifest = load_manifest(path)
        shards = synthetic_shards(manifest)
        yield from check_names(manifest, sums)
        if AUDIT in sums:
            check_audit(folder / AUDIT, manifest)
        count = sum(shard.nsamples for shard in shards.values())
        rows = read_metadata(folder / METADATA, count, manifest.pathologies)
        real: tuple[RealRow, ...] = ()
        if sealed := [shard for shard in manifest.shardlist if shard.origin == "real"]:
            real = read_real(folder / REAL, sum(shard.nsamples for shard in sealed))
            yield from check_real_rows(real, sealed)
        digests = {row.sha256 for row in real}
        for (name, shard), part in zip(shards.items(), parts(shards), strict=True):
            if sums.get(name) != shard.sha256:
                yield f"{name} is not the shard that the manifest lists: its sha256 differs."
            else:
                yield from _check_shard(folder, name, manifest, rows, part, digests)
            advance(shard.nsamples)
    except (CheckError, UsageError) as error:
        yield str(error)


def _check_shard(
    folder: Path, name: str, manifest: Manifest, rows: Rows, part: range, real: Collection[str]
) -> Iterator[str]:
    if {*rows.shard[part.start : part.stop]} != {name}:
        yield f"{METADATA} points elsewhere than at {name} for some of its {len(part)} images."
        return
    path = folder / name
    faults = [*shard_faults(path, name, manifest, rows, part, real=real, table=METADATA)]
    yield from faults
    if not faults and path.with_suffix(".idx").read_bytes() != idx_bytes(manifest, rows, part):
        yield f"{name.replace('.tar', '.idx')} does not point at the members of {name}."
