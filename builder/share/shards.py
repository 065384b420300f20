"""The sealed shards of a dataset, read once before a release → Examined.

Every synthetic sample is compared with the index and must be what the pipeline writes and nothing
more: an image member holds pixels alone, a JSON member the fields of a sample. A real image never
passes, whatever a manifest says of its shard.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
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
from builder.store.sending import Outgoing, made

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

    def place(self, row: int) -> tuple[str, int, int]:
        """Key, first byte and size of a row's image."""
        return self.key[row], self.offset[row], self.size[row]

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
class Examined:
    """What was found in the shards."""

    tars: tuple[Outgoing, ...]  # the synthetic shards under their names in the release
    idx: tuple[Outgoing, ...]
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
        digests, rows = {row.sha256 for row in real}, _rows_of(index, synthetic)
        tars, idx = [], []
        for (path, shard), part in zip(synthetic.items(), parts(synthetic), strict=True):
            file = check_shard(shard, root)
            faults = shard_faults(
                file, shard.url, manifest, rows, part, real=digests, table="the index"
            )
            if fault := next(faults, None):
                raise CheckError(fault)
            tars.append(Outgoing(path=path, size=shard.filesize, sha256=shard.sha256, source=file))
            idx.append(made(path.replace(".tar", ".idx"), idx_bytes(manifest, rows, part)))
            advance(shard.nsamples)
    return Examined(tars=tuple(tars), idx=tuple(idx), rows=rows, real=tuple(real))


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


def parts(synthetic: Mapping[str, ShardEntry]) -> list[range]:
    """The rows of each shard's samples."""
    ends = [0, *accumulate(shard.nsamples for shard in synthetic.values())]
    return [range(*pair) for pair in pairwise(ends)]


def _rows_of(index: Index, synthetic: Mapping[str, ShardEntry]) -> Rows:
    """The rows of the synthetic shards' samples."""
    path_of = {shard.url: path for path, shard in synthetic.items()}
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


def shard_faults(
    file: Path,
    name: str,
    manifest: Manifest,
    rows: Rows,
    part: range,
    *,
    real: Collection[str],
    table: str,
) -> Iterator[str]:
    """Why the shard that messages call `name` must not leave, or is another than `table` says.

    `part` are its rows, `real` the sha256 of real images. An image that holds more than pixels is
    one fault of many; any other fault is the last.
    """
    left = iter(part)
    for member in tar.walk(file, manifest.image.codec, manifest.image.max_bytes):
        if (row := next(left, None)) is None:
            yield f"{name} holds more than the {len(part)} samples of {table}."
            return
        where, sample = f"{name}, sample {member.key}", rows.sample(row)
        if hashlib.sha256(member.image).hexdigest() in real:
            yield f"{where}, is a real image: it is not shared."
            return
        if (member.key, member.offset, len(member.image)) != rows.place(row):
            yield f"{where}: {table} points elsewhere."
            return
        if member.json != sample.to_json(manifest.pathologies):
            yield f"{where}: what it says of itself differs from {table}."
            return
        if not _is_synthetic_key(sample):
            yield f"{where}: its key is not that of a synthetic image."
            return
        try:
            check_pixels_alone(member.image, manifest.image)
        except ValueError as error:
            yield f"{where}: the image is refused, because {error}."
    if next(left, None) is not None:
        yield f"{name} holds fewer than the {len(part)} samples of {table}."


def idx_bytes(manifest: Manifest, rows: Rows, part: range) -> bytes:
    """The .idx of the shard with these rows."""
    codec, names = manifest.image.codec, manifest.pathologies
    lines = []
    for row in part:
        key, offset, size = rows.place(row)
        json_size = len(rows.sample(row).to_json(names))
        lines.append(tar.idx_line(key, codec, offset, size, json_size))
    return tar.idx_text(lines)


def _is_synthetic_key(sample: Sample) -> bool:
    """Whether the key is what the pipeline gives to a synthetic sample: dataset, target, draw."""
    mark = f"-{slug(sample.target)}-{sample.draw:07d}"
    return sample.key.endswith(mark) and not sample.key.startswith(("real-", mark))
