import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from builder.blueprint import prepare
from builder.build import synth
from builder.contract import (
    CheckError,
    UsageError,
    index_bytes,
    load_index,
    load_manifest,
    sha256_bytes,
)
from builder.engines.make import Work
from builder.progress import progress
from builder.recipe import Request
from builder.share.describe import info_text
from builder.share.merge import merge
from builder.verify import verify


def build(labels: Path, out: Path, name: str, target: str, **asked: Any) -> Path:
    request = Request(
        **{
            "dataset": "table",
            "labels": labels,
            "name": name,
            "targets": (target,),
            "image_size": 32,
            "holdout": ("0.1", "0.1"),
            "share": "0.2",
            "real": "none",
            **asked,
        }
    )
    synth(prepare(request), Work(out=out, workers=1, skip_bad=False, progress=progress))
    return out / "manifests" / f"{name}.json"


def merged(*paths: Path, name: str = "both", out: Path | None = None, share: str = "0.1") -> Path:
    return merge(
        paths,
        name=name,
        out=out or paths[0].parents[1],
        progress=progress,
        share=Fraction(share) if share else None,
    )


@pytest.fixture
def pair(tmp_path: Path, clinic: Path) -> tuple[Path, Path]:
    """Two synthetic halves for one clinic, one target each."""
    out = tmp_path / "out"
    mass = build(clinic, out, "mass", "Mass")
    return mass, build(clinic, out, "pleura", "Pleural_Thickening")


def test_two_halves_become_one_dataset_that_holds(pair: tuple[Path, Path]) -> None:
    before = {p: p.stat().st_mtime_ns for p in pair[0].parents[1].glob("shards/*/*")}
    path = merged(*pair)
    assert list(verify(path)) == []
    manifest, parts = load_manifest(path), [load_manifest(each) for each in pair]
    assert manifest.plan is not None
    assert manifest.plan.synthetic == sum(part.index.rows for part in parts)
    assert manifest.targets == ("Mass", "Pleural_Thickening")
    assert [s.url for s in manifest.shardlist] == [s.url for p in parts for s in p.shardlist]
    assert [each["digest"] for each in manifest.source["merged"]] == [p.digest for p in parts]
    assert manifest.recipe["seed"] == 0
    assert "targets" not in manifest.recipe
    assert before == {p: p.stat().st_mtime_ns for p in pair[0].parents[1].glob("shards/*/*")}


def test_the_order_of_the_manifests_and_their_place_change_nothing(
    pair: tuple[Path, Path], tmp_path: Path, clinic: Path
) -> None:
    digest = load_manifest(merged(*pair)).digest
    assert load_manifest(merged(*pair[::-1])).digest == digest
    far = build(clinic, tmp_path / "far", "mass", "Mass")
    path = merged(far, pair[1], out=tmp_path / "third")
    assert load_manifest(path).digest == digest
    assert list(verify(path)) == []
    linked = tmp_path / "third" / load_manifest(path).shardlist[0].url
    assert linked.samefile(tmp_path / "far" / load_manifest(path).shardlist[0].url)


def test_the_real_half_of_one_counts_for_all(
    clinic: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    whole = build(clinic, tmp_path / "out", "whole", "Mass", real="pack", seed=3)
    path = merged(whole, pair[1])
    manifest = load_manifest(path)
    assert list(verify(path)) == []
    assert manifest.recipe["real"] == "pack"
    real = [s for s in load_manifest(whole).shardlist if s.origin == "real"]
    assert [s for s in manifest.shardlist if s.origin == "real"] == real
    assert "seed" not in manifest.recipe
    twin = build(clinic, tmp_path / "out2", "twin", "Pleural_Thickening", real="pack", seed=3)
    path = merged(whole, twin, name="twins")
    assert [s for s in load_manifest(path).shardlist if s.origin == "real"] == real
    assert list(verify(path)) == []


def test_a_later_build_is_compared_with_what_was_merged(
    clinic: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    whole = build(clinic, tmp_path / "far", "whole", "Mass", real="pack", seed=3)
    path = merged(whole, pair[1], out=tmp_path / "third")
    with pytest.raises(UsageError, match="was begun with codec = 'jpg' and now 'png' is asked"):
        build(clinic, tmp_path / "third", "new", "Mass", real="pack", seed=3, codec="png")
    assert list(verify(path)) == []
    same = build(clinic, tmp_path / "third", "new", "Mass", real="pack", seed=3)
    assert list(verify(same)) == []


def test_different_real_halves_are_refused(
    clinic: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    one = build(clinic, tmp_path / "one", "one", "Mass", real="pack")
    two = build(clinic, tmp_path / "two", "two", "Mass", real="pack", seed=1)
    with pytest.raises(UsageError, match="have different real images"):
        merged(one, two, out=tmp_path / "three")
    other = build(clinic, tmp_path / "four", "four", "Mass", seed=1)
    with pytest.raises(UsageError, match=r"planned for different real images, their seed is 1 and"):
        merged(pair[1], other)


def test_an_image_twice_is_refused(clinic: Path, tmp_path: Path, pair: tuple[Path, Path]) -> None:
    again = build(clinic, tmp_path / "again", "again", "Mass", share="0.25")
    with pytest.raises(UsageError, match=r"both hold draw 0 of Mass by one generator and seed \("):
        merged(pair[0], again)
    same = build(clinic, tmp_path / "same", "mass", "Mass", seed=5)
    with pytest.raises(UsageError, match=r"both hold mass-mass-0000000 \(\d+ such images\)"):
        merged(pair[0], same)
    with pytest.raises(UsageError, match="both hold mass-mass-0000000"):
        merged(pair[0], pair[0])


def test_label_vectors_of_two_kinds_are_both_named(
    clinic: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    alone = build(clinic, tmp_path / "alone", "alone", "Mass", vectors="alone")
    path = merged(alone, pair[1], out=tmp_path / "both")
    assert list(verify(path)) == []
    assert load_manifest(path).vectors == load_manifest(path).recipe["vectors"] == "alone, lp"
    assert "of the synthetic images: alone, lp" in info_text(path)
    other = build(clinic, tmp_path / "alone", "more", "Pleural_Thickening", vectors="alone")
    path = merged(alone, other, name="all")
    assert list(verify(path)) == []
    assert load_manifest(path).vectors == "alone"
    assert "vectors" not in load_manifest(merged(*pair)).recipe
    with pytest.raises(UsageError, match="both hold draw 0 of Mass by one generator and seed"):
        merged(pair[0], alone)  # of one latent, and of one label vector where that has Mass alone


def test_other_labels_or_images_are_refused(
    clinic: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    small = build(clinic, tmp_path / "small", "small", "Mass", image_size=16)
    with pytest.raises(UsageError, match="differ in image"):
        merged(pair[1], small)
    masked = build(clinic, tmp_path / "masked", "masked", "Mass", uncertain="mask")
    with pytest.raises(UsageError, match="differ in uncertain, mask and ones"):
        merged(pair[1], masked)
    clinic.write_text(clinic.read_text().replace("Edema", "Oedema", 1))
    other = build(clinic, tmp_path / "other", "other", "Mass")
    with pytest.raises(UsageError, match="differ in pathologies"):
        merged(pair[1], other)


def test_a_share_that_is_missed_together_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"Together the targets miss .*, or promise less by --sh"):
        merged(*pair, share="")
    with pytest.raises(UsageError, match=r"miss their share of 50\.00%: Mass \d"):
        merged(*pair, share="0.5")
    assert not (pair[0].parent / "both.json").exists()


def test_a_damaged_part_is_refused_and_nothing_is_sealed(pair: tuple[Path, Path]) -> None:
    shard = pair[0].parents[1] / load_manifest(pair[0]).shardlist[0].url
    whole = shard.read_bytes()
    data = bytearray(whole)
    data[700] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CheckError, match="sha256 differs"):
        merged(*pair)
    assert not (pair[0].parent / "both.json").exists()
    shard.write_bytes(whole)
    pair[1].with_suffix(".parquet").write_bytes(b"")
    with pytest.raises(CheckError):
        merged(*pair)


def test_names_that_are_taken_and_sets_that_are_none(pair: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"mass\.json is another dataset: choose another --name"):
        merged(*pair, name="mass")
    with pytest.raises(UsageError, match="takes two or more"):
        merged(pair[0])
    path = merged(*pair)
    with pytest.raises(UsageError, match="was merged before"):
        merged(path, pair[0], name="more")
    with pytest.raises(UsageError, match="The name 'Not Good' cannot be used"):
        merged(*pair, name="Not Good")


def test_one_without_sketches_takes_them_from_all(pair: tuple[Path, Path], tmp_path: Path) -> None:
    old = Path(shutil.copytree(pair[0].parents[1], tmp_path / "old")) / "manifests" / "mass.json"
    manifest = load_manifest(old)
    index = load_index(manifest, old.parents[1])
    data = index_bytes(replace(index, sketch=index.sketch[:, :0]), manifest.pathologies)
    old.with_suffix(".parquet").write_bytes(data)
    raw = json.loads(old.read_text())
    raw["index"]["sha256"] = sha256_bytes(data)
    old.write_text(json.dumps(raw, indent=2) + "\n")
    path = merged(old, pair[1])
    assert load_index(load_manifest(path), path.parents[1]).sketch.shape[1] == 0
    assert list(verify(path)) == []


def test_generators_and_versions_are_both_named(pair: tuple[Path, Path]) -> None:
    raw = json.loads(pair[0].read_text())
    raw["generator"] |= {"name": "other", "sha256": "0" * 64}
    raw["software"]["numpy"] = "0.9"
    pair[0].write_text(json.dumps(raw, indent=2) + "\n")
    path = merged(*pair)
    manifest = load_manifest(path)
    assert manifest.generator is not None
    assert manifest.generator["name"] == "other, phantom"
    assert manifest.generator["resolution"] == 32
    assert len(manifest.generator["sha256"].split(", ")) == 2
    assert manifest.software["numpy"].startswith("0.9, ")
    assert manifest.software["torch"] == raw["software"]["torch"]
    assert list(verify(path)) == []
