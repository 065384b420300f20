"""Finished shards into the index and the manifest, which is written last → Manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.contract import (
    SCHEMA,
    SPLITS,
    ImageSpec,
    Index,
    IndexEntry,
    Manifest,
    PlanProof,
    ShardEntry,
    index_bytes,
    save_manifest,
    sha256_bytes,
    write_last,
)
from builder.write import Shard


def seal(
    shards: Sequence[Shard],
    *,
    root: Path,
    name: str,
    pathologies: tuple[str, ...],
    image: ImageSpec,
    plan: PlanProof,
    facts: dict[str, dict[str, Any]],
) -> Manifest:
    """The manifest of a complete dataset, on disk under `root/manifests` with its index.

    Rows and shards stand in the order train (real, then synthetic), val, test. `facts` holds the
    manifest's free-form parts: recipe, generator, source, software.
    """
    full = sorted(
        (shard for shard in shards if shard.entry is not None),
        key=lambda s: (SPLITS.index(s.samples[0].split), s.samples[0].origin == "synthetic"),
    )
    entries: list[ShardEntry] = [shard.entry for shard in full if shard.entry is not None]
    data = index_bytes(index_of(full, entries), pathologies)
    url = f"manifests/{name}.parquet"
    write_last(root / url, data)
    manifest = Manifest(
        schema=SCHEMA,
        name=name,
        pathologies=pathologies,
        image=image,
        plan=plan,
        index=IndexEntry(
            url=url, rows=sum(entry.nsamples for entry in entries), sha256=sha256_bytes(data)
        ),
        shardlist=tuple(entries),
        **facts,
    )
    save_manifest(manifest, root / "manifests" / f"{name}.json")
    return manifest


def index_of(shards: Sequence[Shard], entries: Sequence[ShardEntry]) -> Index:
    """The index over the shards' samples, in the shards' order."""
    samples = [sample for shard in shards for sample in shard.samples]

    def words(field: str) -> npt.NDArray[np.object_]:
        return np.array([getattr(sample, field) for sample in samples], dtype=object)

    return Index(
        key=words("key"),
        split=words("split"),
        origin=words("origin"),
        shard=np.repeat(
            np.array([entry.url for entry in entries], dtype=object),
            [entry.nsamples for entry in entries],
        ),
        offset=np.array([offset for shard in shards for offset in shard.offsets], dtype=np.int64),
        size=np.array([size for shard in shards for size in shard.sizes], dtype=np.int32),
        labels=np.array([sample.labels for sample in samples], dtype=np.int8),
        target=words("target"),
        draw=np.array([sample.draw for sample in samples], dtype=np.int64),
        patient=words("patient"),
        view=words("view"),
        sex=words("sex"),
        age=words("age"),
    )
