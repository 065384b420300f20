"""Finished shards into the index and the manifest, which is written last → Manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from builder.contract import (
    SCHEMA,
    SPLITS,
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
from builder.generators import Loaded
from builder.labels import LabelTable
from builder.recipe import Layout
from builder.render import LabelMap
from builder.store.sending import made
from builder.write import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where a dataset comes from: the free-form parts of its manifest."""

    recipe: Mapping[str, object]
    generator: Mapping[str, object] | None  # None: real images alone
    source: Mapping[str, object]  # of the labels
    software: Mapping[str, str]  # versions


def seal(
    shards: Sequence[Shard], *, layout: Layout, name: str, plan: PlanProof | None, facts: Facts
) -> Manifest:
    """The manifest of a complete dataset, on disk under `manifests` of its root with its index.

    Where the shards were sent, both follow, the manifest last.

    Rows and shards stand in the order train (real, then synthetic), val, test.
    """
    full = sorted(
        (shard for shard in shards if shard.entry is not None),
        key=lambda s: (
            SPLITS.index(s.stored[0].sample.split),
            s.stored[0].sample.origin == "synthetic",
        ),
    )
    entries = [shard.entry for shard in full if shard.entry is not None]
    data = index_bytes(index_of(full, entries), layout.pathologies)
    url = f"manifests/{name}.parquet"
    write_last(layout.root / url, data)
    manifest = Manifest(
        schema=SCHEMA,
        name=name,
        pathologies=layout.pathologies,
        image=layout.image,
        recipe=dict(facts.recipe),
        plan=plan,
        generator=None if facts.generator is None else dict(facts.generator),
        source=dict(facts.source),
        software=dict(facts.software),
        index=IndexEntry(
            url=url, rows=sum(entry.nsamples for entry in entries), sha256=sha256_bytes(data)
        ),
        shardlist=tuple(entries),
    )
    save_manifest(manifest, layout.manifest(name))
    if layout.destination is not None:
        own = layout.manifest(name).relative_to(layout.root).as_posix()
        files = [made(url, data), made(own, manifest.to_json().encode())]
        layout.destination.open().put(files, lambda _: None)
    return manifest


def source_facts(table: LabelTable, real: Sequence[Shard]) -> Mapping[str, object]:
    """What a manifest says of the labels, and of the images that could not be packed."""
    return {
        "dataset": table.dataset,
        "labels_sha256": table.sha256,
        "rows": len(table),
        "patients": int(table.rows["patient"].nunique()),
        "left_out": sum(len(shard.bad) for shard in real),
    }


def generator_facts(
    loaded: Loaded, label_map: LabelMap, rejects: Mapping[str, int]
) -> Mapping[str, object]:
    """What a manifest says of the generator, and of the images that were rejected."""
    facts = {**asdict(loaded.facts()), "rejected": rejects}
    return {**facts, "label_map": dict(label_map)} if label_map else facts


def index_of(shards: Sequence[Shard], entries: Sequence[ShardEntry]) -> Index:
    """The index over the shards' samples, in the shards' order."""
    stored = [each for shard in shards for each in shard.stored]

    def text(field: str) -> npt.NDArray[np.object_]:
        return np.array([getattr(each.sample, field) for each in stored], dtype=object)

    return Index(
        key=text("key"),
        split=text("split"),
        origin=text("origin"),
        shard=np.repeat(
            np.array([entry.url for entry in entries], dtype=object),
            [entry.nsamples for entry in entries],
        ),
        offset=np.array([each.offset for each in stored], dtype=np.int64),
        size=np.array([each.size for each in stored], dtype=np.int32),
        labels=np.array([each.sample.labels for each in stored], dtype=np.int8),
        target=text("target"),
        draw=np.array([each.sample.draw for each in stored], dtype=np.int64),
        patient=text("patient"),
        view=text("view"),
        sex=text("sex"),
        age=text("age"),
        sketch=np.frombuffer(b"".join(each.sketch for each in stored), np.uint8).reshape(
            len(stored), -1
        ),
    )
