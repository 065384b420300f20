"""The sealed shards of a dataset, read once before a release → Examined.

Every synthetic sample is compared with the index and must be what the pipeline writes and nothing
more: an image member holds pixels alone, a JSON member the fields of a sample. A real image never
passes, whatever a manifest says of its shard.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder.contract import (
    CheckError,
    Index,
    Manifest,
    Sample,
    ShardEntry,
    UsageError,
    check_shard,
    tar,
)
from builder.draw import slug
from builder.progress import Progress
from builder.share.pixels import check_pixels_alone

SHA256 = re.compile(r"[0-9a-f]{64}")
REAL_KEY = re.compile(r"real-[0-9a-f]{16}")
PATTERN = "data/train-{:05d}-of-{:05d}.tar"  # as the Hub and webdataset expect it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of the synthetic samples, as columns of equal length, in sealed order."""

    key: tuple[str, ...]
    shard: tuple[str, ...]  # path in the release
    offset: tuple[int, ...]
    size: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    target: tuple[str, ...]
    draw: tuple[int, ...]
    sketch: tuple[bytes, ...]  # 16 bytes each; () where they were not sealed

    def sample(self, row: int) -> Sample:
        """What the synthetic sample of a row says of itself in its shard."""
        return Sample(
            key=self.key[row],
            split="train",
            origin="synthetic",
            target=self.target[row],
            draw=self.draw[row],
            patient="",
            labels=self.labels[row],
        )

    def names(self) -> set[str]:
        """What the keys begin with: the names of datasets."""
        pairs = zip(self.key, self.target, strict=True)
        return {key.rpartition(f"-{slug(target)}-")[0] for key, target in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRow:
    """A real image that the recipient packs: the sha256 is that of its member in the shard."""

    key: str
    split: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A synthetic shard and its name in the release."""

    path: str
    entry: ShardEntry
    file: Path
    idx: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found in the shards."""

    shipped: tuple[Shipped, ...]
    rows: Rows
    real: tuple[RealRow, ...]


def examine(manifest: Manifest, index: Index, root: Path, progress: Progress) -> Examined:
    """The shards that a release ships and the list of its real half.

    UsageError where there is nothing to share; CheckError where a shard is not the sealed one, or
    holds what must not leave.
    """
    synthetic = synthetic_shards(manifest)
    if not synthetic:
        raise UsageError(
            f"{manifest.name} holds real images alone, and real images are never shared: share a "
            "dataset of xbuild synth, whose synthetic half leaves with a list of the real one."
        )
    _check_present(manifest, root)
    with progress("reading", manifest.index.rows) as advance:
        real: list[RealRow] = []
        start = 0
        for shard in manifest.shardlist:
            if shard.origin == "real":
                real += _real_rows(manifest, index, shard, start, root)
                advance(shard.nsamples)
            start += shard.nsamples
        digests = {row.sha256 for row in real}
        shipped = []
        for path, shard in synthetic.items():
            file = check_shard(shard, root)
            idx = _check_synthetic(manifest, index, shard, file, digests)
            shipped.append(Shipped(path=path, entry=shard, file=file, idx=idx))
            advance(shard.nsamples)
    return Examined(shipped=tuple(shipped), rows=rows_of(index, shipped), real=tuple(real))


def synthetic_shards(manifest: Manifest) -> dict[str, ShardEntry]:
    """The synthetic shards by their path in a release, in order."""
    found = [shard for shard in manifest.shardlist if shard.origin == "synthetic"]
    return {PATTERN.format(i, len(found)): shard for i, shard in enumerate(found)}


def check_real_rows(rows: Sequence[RealRow], shards: Sequence[ShardEntry]) -> Iterator[str]:
    """The faults of a list of real images, given the real shards of its manifest."""
    if any(not REAL_KEY.fullmatch(row.key) or not SHA256.fullmatch(row.sha256) for row in rows):
        yield "real.parquet holds a key or a sha256 that is none."
    if len({row.key for row in rows}) < len(rows):
        yield "real.parquet lists an image twice."
    expected = [shard.split for shard in shards for _ in range(shard.nsamples)]
    if [row.split for row in rows] != expected:
        yield "real.parquet and the manifest disagree about the splits."


def rows_of(index: Index, shipped: list[Shipped]) -> Rows:
    """The rows of the shipped shards' samples."""
    path_of = {each.entry.url: each.path for each in shipped}
    part = np.flatnonzero(index.origin == "synthetic")
    return Rows(
        key=tuple(index.key[part].tolist()),
        shard=tuple(path_of[url] for url in index.shard[part].tolist()),
        offset=tuple(index.offset[part].tolist()),
        size=tuple(index.size[part].tolist()),
        labels=tuple(map(tuple, index.labels[part].tolist())),
        target=tuple(index.target[part].tolist()),
        draw=tuple(index.draw[part].tolist()),
        sketch=tuple(row.tobytes() for row in index.sketch[part] if row.size),
    )


def _check_present(manifest: Manifest, root: Path) -> None:
    """UsageError where shards are missing, with what to do."""
    missing = [s for s in manifest.shardlist if not root.joinpath(s.url).is_file()]
    if missing:
        read = "" if missing[0].origin == "synthetic" else " (real ones are read, never sent)"
        raise UsageError(
            f"{len(missing)} of the {len(manifest.shardlist)} shards of {manifest.name} are not "
            f"under {root}, such as {missing[0].url}{read}: build them, or say by --shards-root "
            "where they are."
        )


def _real_rows(
    manifest: Manifest, index: Index, shard: ShardEntry, start: int, root: Path
) -> Iterator[RealRow]:
    row = start
    for member in tar.walk(
        check_shard(shard, root), manifest.image.codec, manifest.image.max_bytes
    ):
        if row == start + shard.nsamples or member.key != index.key[row]:
            raise CheckError(f"{shard.url} and the index disagree at {member.key}.")
        if not REAL_KEY.fullmatch(member.key):
            raise CheckError(
                f"{shard.url} has the key {member.key}, which may name a patient: keys of real "
                "images are hashes such as real-0123456789abcdef."
            )
        yield RealRow(
            key=member.key, split=shard.split, sha256=hashlib.sha256(member.image).hexdigest()
        )
        row += 1


def _check_synthetic(
    manifest: Manifest, index: Index, shard: ShardEntry, path: Path, real: set[str]
) -> bytes:
    """The .idx of a synthetic shard; CheckError at the first sample that must not leave."""
    rows = np.flatnonzero(index.shard == shard.url).tolist()
    codec = manifest.image.codec
    lines = []
    for row, member in zip(rows, _walk(path, manifest, shard, len(rows)), strict=True):
        where = f"{shard.url}, sample {member.key}"
        if hashlib.sha256(member.image).hexdigest() in real:
            raise CheckError(f"{where}, is a real image: it is not shared.")
        sample = _sample(index, row)
        if member.json != sample.to_json(manifest.pathologies):
            raise CheckError(f"{where}: what it says of itself differs from the index.")
        if not is_synthetic_key(sample):
            raise CheckError(f"{where}: its key is not that of a synthetic image.")
        try:
            check_pixels_alone(member.image, manifest.image)
        except ValueError as error:
            raise CheckError(f"{where}: the image is refused, because {error}.") from None
        size, json_size = len(member.image), len(member.json)
        if (member.offset, size) != (index.offset[row], index.size[row]):
            raise CheckError(f"{where}: the index points elsewhere.")
        lines.append(tar.idx_line(member.key, codec, member.offset, size, json_size))
    return tar.idx_text(lines)


def is_synthetic_key(sample: Sample) -> bool:
    """Whether the key is what the pipeline gives to a synthetic sample: dataset, target, draw."""
    mark = f"-{slug(sample.target)}-{sample.draw:07d}"
    return sample.key.endswith(mark) and not sample.key.startswith(("real-", mark))


def _walk(path: Path, manifest: Manifest, shard: ShardEntry, rows: int) -> Iterator[tar.Member]:
    """The samples of a shard; CheckError where it does not have so many."""
    count = 0
    for member in tar.walk(path, manifest.image.codec, manifest.image.max_bytes):
        count += 1
        if count > rows:
            break
        yield member
    if count != rows:
        raise CheckError(f"{shard.url} does not hold the {rows} samples of the index.")


def _sample(index: Index, row: int) -> Sample:
    """What a synthetic sample of the index may say of itself."""
    return Sample(
        key=str(index.key[row]),
        split="train",
        origin="synthetic",
        target=str(index.target[row]),
        draw=int(index.draw[row]),
        patient="",
        labels=tuple(index.labels[row].tolist()),
    )
