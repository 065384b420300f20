from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.contract import CheckError, Manifest, Sample, UsageError, load_index, load_manifest
from builder.gallery.contact_sheet import _first, contact_sheet
from builder.recipe import Layout
from builder.seal import Facts, seal
from builder.write import Painter, ShardJob, write_shard


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        assert opened.mode == "L"
        return opened.size


def test_each_target_has_a_row_of_real_and_one_of_synthetic_images(built: Path) -> None:
    path = built / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    sheet = built / "sheet.png"
    assert contact_sheet(manifest, path, sheet)
    width, height = size_of(sheet)
    assert width > 500
    assert manifest.plan is not None
    one = replace(manifest.plan, targets=manifest.plan.targets[:1])
    assert contact_sheet(replace(manifest, plan=one), path, sheet)
    assert size_of(sheet)[1] < 0.7 * height


@pytest.fixture
def packed(
    layout: Layout, real: Callable[..., Sample], painter_of: Callable[..., Painter]
) -> Callable[..., Manifest]:
    """A dataset of three real images with the given labels of 30 pathologies."""

    def make(labels: tuple[int, ...]) -> Manifest:
        names = tuple(f"P{i}" for i in range(len(labels)))
        wide = replace(layout, pathologies=names)
        pixels = np.random.default_rng(0).integers(0, 255, (3, 16, 16), dtype=np.uint8)
        shard = write_shard(
            ShardJob(
                layout=wide,
                url="shards/real/train-00000-of-00001.tar",
                samples=tuple(real(i, labels) for i in range(3)),
                painter=painter_of(pixels),
            )
        )
        facts = Facts(recipe={}, generator=None, source={}, software={})
        return seal([shard], layout=wide, name="real100", plan=None, facts=facts)

    return make


def test_without_a_plan_the_first_pathologies_are_shown(
    layout: Layout, packed: Callable[..., Manifest]
) -> None:
    manifest, sheet = packed((1,) * 30), layout.root / "sheet.png"
    assert contact_sheet(manifest, layout.manifest("real100"), sheet, columns=2)
    height = size_of(sheet)[1]
    assert 15 * 110 < height < 30 * 110  # twenty rows


def test_no_picture_is_drawn_where_nothing_is_positive(
    layout: Layout, packed: Callable[..., Manifest]
) -> None:
    manifest, sheet = packed((0,) * 3), layout.root / "sheet.png"
    assert not contact_sheet(manifest, layout.manifest("real100"), sheet)
    assert not sheet.exists()


def test_any_pathology_can_be_shown_and_an_unknown_one_is_refused(built: Path) -> None:
    path = built / "manifests" / "gan100.json"
    manifest, sheet = load_manifest(path), built / "sheet.png"
    assert contact_sheet(manifest, path, sheet, pathologies=["Edema"], columns=3)
    assert size_of(sheet)[1] < 3 * 1.35 * 110  # two rows: the label is on synthetic images, too
    with pytest.raises(UsageError, match="no pathology 'Gout'; it has Mass, Edema"):
        contact_sheet(manifest, path, sheet, pathologies=["Gout"])


def test_real_images_are_of_different_patients(built: Path) -> None:
    index = load_index(load_manifest(built / "manifests" / "gan100.json"), built)
    mine = index.origin == "real"
    rows = _first(index, mine, 1000)
    assert rows == sorted(rows)
    assert len(rows) == len(set(index.patient[mine])) < mine.sum()
    assert _first(index, mine, 3) == rows[:3]
    assert len(_first(index, ~mine, 1000)) == (~mine).sum()


def test_a_shard_that_is_not_the_sealed_one_is_not_drawn(built: Path) -> None:
    path, sheet = built / "manifests" / "gan100.json", built / "sheet.png"
    manifest = load_manifest(path)
    shard = next(s for s in manifest.shardlist if s.origin == "synthetic")
    data = bytearray((built / shard.url).read_bytes())
    data[len(data) // 2] ^= 1
    (built / shard.url).write_bytes(data)
    with pytest.raises(CheckError, match="is not the shard that was sealed"):
        contact_sheet(manifest, path, sheet)
    assert not sheet.exists()
