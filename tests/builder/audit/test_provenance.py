"""What may mislead an audit is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.audit.provenance import otherwise_split, trained_elsewhere
from builder.contract import ImageSpec, Manifest, load_manifest
from builder.contract.weights import WeightsHeader


@pytest.fixture
def manifest(sealed_once: Path) -> Manifest:
    return load_manifest(sealed_once / "manifests" / "gan100.json")


def test_real_images_of_another_split_are_told(manifest: Manifest) -> None:
    assert otherwise_split(manifest, manifest) == ()
    other = replace(manifest, recipe={**manifest.recipe, "regime": "7", "seed": 3})
    (note,) = otherwise_split(manifest, other)
    assert "was planned for (another seed, regime): images that the generator saw" in note
    assert otherwise_split(manifest, replace(manifest, recipe={})) == ()


def test_a_classifier_of_another_dataset_may_have_seen_held_out_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ImageSpec(height=32, width=32, codec="jpg", quality=95)
    header = WeightsHeader(pathologies=("Mass",), image=spec, manifest="c" * 64, epoch=1)
    monkeypatch.setattr("builder.audit.provenance.read_header", lambda _: header)
    file = tmp_path / "best.safetensors"
    assert trained_elsewhere(None, ()) == trained_elsewhere(file, ["a" * 64, "c" * 64]) == ()
    (note,) = trained_elsewhere(file, ["a" * 64, "b" * 64])
    assert "another dataset (digest cccccccccccc…): it may have seen held-out images" in note
