"""Several sealed datasets into one: their synthetic half side by side, with a plan that holds.

The label space, the images and the policy for uncertain labels must be the same, the real half the
same or in one of them alone, and no image may be in two of them. Nothing depends on the order in
which the datasets are named.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from builder.claim import claimed
from builder.contract import (
    SCHEMA,
    SPLITS,
    Index,
    IndexEntry,
    Manifest,
    PlanProof,
    ShardEntry,
    UsageError,
    check_shard,
    dataset_root,
    index_bytes,
    index_root,
    load_index,
    load_manifest,
    printable,
    save_manifest,
    sha256_bytes,
    write_last,
)
from builder.progress import Progress
from builder.recipe import UNNOTED, resolve_name
from builder.share.merged_plan import merged_plan
from builder.share.place import take_over

_IMAGES = ("generator_sha256", "options", "label_map", "precision", "seed")
"""What an image depends on besides its target, draw and labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A dataset to merge."""

    path: Path
    manifest: Manifest
    index: Index

    @property
    def root(self) -> Path:
        """The folder that its shards' urls are relative to."""
        return dataset_root(self.path)

    def entries(self, origin: str) -> tuple[ShardEntry, ...]:
        """Its real or its synthetic shards."""
        return tuple(s for s in self.manifest.shardlist if s.origin == origin)

    def __str__(self) -> str:
        """Its path, for messages."""
        return str(self.path)


def merge(
    paths: Sequence[Path],
    *,
    name: str,
    out: Path,
    progress: Progress,
    share: Fraction | None = None,
) -> Path:
    """The path of the manifest of all datasets together, below `out`.

    A shard that is not below `out` is linked there, or copied. Every target must hold `share`, by
    default the least share that one of the datasets promises. UsageError where they cannot be one
    dataset, CheckError where one is not as sealed.
    """
    name = resolve_name(name, "merged", "100")
    parts = sorted(map(_read, paths), key=lambda part: (part.manifest.name, part.manifest.digest))
    _check_alike(parts)
    _check_draws(parts)
    half = _real_half(parts)
    rows = [(half, shard) for shard in half.entries("real")] if half else []
    rows += [(part, shard) for part in parts for shard in part.entries("synthetic")]
    rows.sort(key=lambda row: (SPLITS.index(row[1].split), row[1].origin == "synthetic"))
    _check_names(rows)
    index = _joined(rows)
    plan = merged_plan([p.manifest for p in parts], half.manifest if half else None, index, share)
    manifest = _manifest(parts, plan, [shard for _, shard in rows], index, name)
    path = out / "manifests" / f"{name}.json"
    if path.exists() and load_manifest(path).digest != manifest.digest:
        raise UsageError(f"{path} is another dataset: choose another --name for this one.")
    with claimed(out), progress("checking", len(index)) as advance:
        for part, shard in rows:
            take_over(check_shard(shard, part.root), out / shard.url)
            advance(shard.nsamples)
        write_last(out / manifest.index.url, index_bytes(index, manifest.pathologies))
        save_manifest(manifest, path)
    return path


def _read(path: Path) -> Part:
    manifest = load_manifest(path)
    if "merged" in manifest.source:
        raise UsageError(f"{path} was merged before: name the datasets that it consists of.")
    index = load_index(manifest, index_root(manifest, path, None))
    return Part(path=path, manifest=manifest, index=index)


def _check_alike(parts: Sequence[Part]) -> None:
    """UsageError where the datasets do not speak of the same images and labels."""
    if len(parts) < 2:
        raise UsageError("xbuild merge takes two or more manifests.")
    if not any(part.entries("synthetic") for part in parts):
        raise UsageError("None of the manifests has a synthetic image: there is nothing to merge.")
    first = parts[0]
    for part in parts[1:]:
        for what in ("pathologies", "image", "uncertain"):
            one, other = getattr(first.manifest, what), getattr(part.manifest, what)
            if one != other:
                raise UsageError(
                    f"{first} and {part} differ in {what}, {printable(str(one))} and "
                    f"{printable(str(other))}: only datasets of one label space and image size "
                    "can be merged."
                )


def _check_draws(parts: Sequence[Part]) -> None:
    """UsageError where an image is in two datasets: by its key, or as the same draw."""
    for one, other in combinations(parts, 2):
        mine, theirs = ({*map(str, _synthetic(part, "key"))} for part in (one, other))
        if twice := mine & theirs:
            raise UsageError(
                f"{one} and {other} both hold {min(twice)} ({len(twice):,} such images): build one "
                "of them under another --name."
            )
        if any(one.manifest.recipe.get(f) != other.manifest.recipe.get(f) for f in _IMAGES):
            continue
        drawn = (
            {*zip(map(str, _synthetic(part, "target")), _synthetic(part, "draw"), strict=True)}
            for part in (one, other)
        )
        if same := set.intersection(*drawn):
            target, draw = min(same)
            raise UsageError(
                f"{one} and {other} both hold draw {draw} of {target} by one generator and seed "
                f"({len(same):,} such images): build one of them with another --seed."
            )


def _synthetic(part: Part, column: str) -> list[Any]:
    found: list[Any] = getattr(part.index, column)[part.index.origin == "synthetic"].tolist()
    return found


def _real_half(parts: Sequence[Part]) -> Part | None:
    """The dataset whose real half is taken; UsageError where two differ."""
    having = [part for part in parts if part.entries("real")]
    for part in having[1:]:
        if not _same_real(having[0], part):
            raise UsageError(
                f"{having[0]} and {part} have different real images: merge datasets of one real "
                "half, or all but one of --real none."
            )
    return having[0] if having else None


def _same_real(one: Part, other: Part) -> bool:
    mine, theirs = ([(s.sha256, s.split) for s in part.entries("real")] for part in (one, other))
    if mine != theirs:
        return False
    columns = [f.name for f in fields(Index) if f.name not in ("shard", "sketch")]
    real = [part.index.origin == "real" for part in (one, other)]
    return all(
        np.array_equal(getattr(one.index, name)[real[0]], getattr(other.index, name)[real[1]])
        for name in columns
    )


def _check_names(rows: Sequence[tuple[Part, ShardEntry]]) -> None:
    seen: dict[str, Part] = {}
    for part, shard in rows:
        if shard.url in seen:
            raise UsageError(
                f"{seen[shard.url]} and {part} both call a shard {shard.url}: build one of them "
                "under another --name."
            )
        seen[shard.url] = part


def _joined(rows: Sequence[tuple[Part, ShardEntry]]) -> Index:
    """The index of the shards in their order; sketches only where all have them."""
    slices = [_slice(part, shard) for part, shard in rows]
    sketched = all(part.index.sketch.size for part, _ in rows)
    columns = {}
    for field in fields(Index):
        found = [getattr(p.index, field.name)[s] for (p, _), s in zip(rows, slices, strict=True)]
        if field.name == "sketch" and not sketched:
            found = [each[:, :0] for each in found]
        columns[field.name] = np.concatenate(found)
    return Index(**columns)


def _slice(part: Part, shard: ShardEntry) -> slice:
    start = 0
    for each in part.manifest.shardlist:
        if each == shard:
            break
        start += each.nsamples
    return slice(start, start + shard.nsamples)


def _manifest(
    parts: Sequence[Part], plan: PlanProof, shards: Sequence[ShardEntry], index: Index, name: str
) -> Manifest:
    manifests = [part.manifest for part in parts]
    synthetic = [m for m in manifests if m.generator is not None]
    data = index_bytes(index, manifests[0].pathologies)
    recipe = {**_common([m.recipe for m in manifests]), "name": name}
    if (vectors := sorted({m.vectors for m in synthetic})) != [UNNOTED["vectors"]]:
        recipe["vectors"] = ", ".join(vectors)
    source = _common([m.source for m in manifests])
    return Manifest(
        schema=SCHEMA,
        name=name,
        pathologies=manifests[0].pathologies,
        image=manifests[0].image,
        recipe={**recipe, "real": "pack" if (index.origin == "real").any() else "none"},
        plan=plan,
        generator=_generator([m.generator for m in synthetic if m.generator is not None]),
        source={**source, "merged": [{"name": m.name, "digest": m.digest} for m in manifests]},
        software={k: ", ".join(v) for k, v in _versions([m.software for m in manifests])},
        index=IndexEntry(
            url=f"manifests/{name}.parquet", rows=len(index), sha256=sha256_bytes(data)
        ),
        shardlist=tuple(shards),
    )


def _common(records: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The fields that all records have, with one value."""
    first, *others = records
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }


def _generator(facts: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """What is said of several generators: what they share, and all names and sha256."""
    found = _common(facts)
    for name in ("name", "sha256"):
        found[name] = ", ".join(dict.fromkeys(str(each.get(name)) for each in facts))
    return found


def _versions(software: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, list[str]]]:
    for name in sorted({name for each in software for name in each}):
        yield name, sorted({each[name] for each in software if name in each})
