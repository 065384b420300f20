from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from builder.contract import Sample, load_index, load_manifest, sha256_file
from builder.recipe import Layout
from builder.seal import Facts, seal
from builder.write import Painter, Shard, ShardJob, write_shard

FACTS = Facts(
    recipe={"dataset": "table", "regime": "100", "holdout": ("0.1", "0.1")},
    generator=None,
    source={"dataset": "table"},
    software={"numpy": "2"},
)


@pytest.fixture
def shard(
    layout: Layout, real: Callable[..., Sample], painter_of: Callable[..., Painter]
) -> Callable[..., Shard]:
    """A written shard of three real images of a split."""

    def make(split: str, first: int = 0) -> Shard:
        pixels = np.random.default_rng(first).integers(0, 255, (3, 16, 16), dtype=np.uint8)
        job = ShardJob(
            layout=layout,
            url=f"shards/real/{split}-{first:05d}-of-00009.tar",
            samples=tuple(real(first + i, split=split) for i in range(3)),
            painter=painter_of(pixels),
        )
        return write_shard(job)

    return make


def test_shards_and_rows_stand_in_the_order_of_the_splits(
    layout: Layout, shard: Callable[..., Shard]
) -> None:
    shards = [shard("test"), shard("train", 3), shard("val"), shard("train")]
    manifest = seal(shards, layout=layout, name="real100", plan=None, facts=FACTS)
    assert [entry.split for entry in manifest.shardlist] == ["train", "train", "val", "test"]
    index = load_index(manifest, layout.root)
    assert index.split.tolist() == ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    assert index.key.tolist()[:4] == [f"real-train-{i:05d}" for i in (3, 4, 5, 0)]
    for row, (offset, size) in enumerate(zip(index.offset, index.size, strict=True)):
        data = (layout.root / index.shard[row]).read_bytes()[offset : offset + size]
        assert data[:4] == b"\x89PNG"


def test_what_is_sealed_is_what_is_loaded(layout: Layout, shard: Callable[..., Shard]) -> None:
    manifest = seal([shard("train")], layout=layout, name="real100", plan=None, facts=FACTS)
    path = layout.manifest("real100")
    found = load_manifest(path)
    assert found.digest == manifest.digest == sha256_file(path)
    assert (found.plan, found.generator, found.real_only) == (None, None, True)
    assert (found.dataset, found.regime) == ("table", "100")


def test_a_shard_without_a_sample_is_not_listed(
    layout: Layout, shard: Callable[..., Shard]
) -> None:
    full = shard("train")
    empty = replace(full, entry=None, stored=())
    manifest = seal([empty, full], layout=layout, name="real100", plan=None, facts=FACTS)
    assert len(manifest.shardlist) == 1
