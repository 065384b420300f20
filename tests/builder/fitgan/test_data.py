"""Only real training images are read, checked, and drawn so that rare pathologies are seen."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builder.contract import CheckError, UsageError, load_index, load_manifest
from builder.fitgan import data
from builder.fitgan.data import load_reals
from builder.fitgan.settings import Settings
from builder.fitgan.train import Networks

Fit = Callable[..., Networks]


def test_shards_below_the_resolution_are_refused(fit: Fit, tmp_path: Path, tiny: Settings) -> None:
    with pytest.raises(UsageError, match=r"hold 32×32 pixels .* 64: build them with"):
        fit(tmp_path / "gan.safetensors", replace(tiny, resolution=64))


@pytest.mark.parametrize("minimum", ["MIN_IMAGES", "MIN_PATIENTS"])
def test_too_little_to_learn_from_is_refused(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimum: str
) -> None:
    monkeypatch.setattr(data, minimum, 1000)
    with pytest.raises(UsageError, match=r"128 real training images of 41 .* needs at least"):
        fit(tmp_path / "gan.safetensors")


def test_only_real_training_images_are_read_and_a_spoilt_shard_is_refused(
    manifest: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(manifest.parents[1], tmp_path / "root"))
    sealed = load_manifest(manifest)
    index = load_index(sealed, root)
    real = [s for s in sealed.shardlist if (s.split, s.origin) == ("train", "real")]
    reals = load_reals(sealed, index, root, 32)
    assert len(reals.images) == sum(shard.nsamples for shard in real)
    assert reals.unseen == ("Hernia",)
    halves = load_reals(sealed, index, root, 16).images.float()
    blocks = reals.images.float().reshape(-1, 16, 2, 16, 2).mean(dim=(2, 4))
    assert (halves - blocks).abs().max() <= 0.5
    for shard in sealed.shardlist:
        if shard not in real:
            (root / shard.url).unlink()
    load_reals(sealed, index, root, 32)  # never asks for the others
    with (root / real[0].url).open("r+b") as file:
        file.seek(600)
        file.write(b"spoilt")
    with pytest.raises(CheckError, match="its sha256 differs"):
        load_reals(sealed, index, root, 32)


def test_shards_may_lie_apart_from_the_manifest_and_its_index(
    fit: Fit, manifest: Path, tmp_path: Path, tiny: Settings
) -> None:
    shutil.copytree(manifest.parents[1] / "shards", tmp_path / "disk/shards")
    fit(tmp_path / "gan.safetensors", replace(tiny, kimg=0.016), root=tmp_path / "disk")
    assert (tmp_path / "gan.safetensors").is_file()


def test_rare_pathologies_are_drawn_as_often_as_common_ones(manifest: Path) -> None:
    sealed, root = load_manifest(manifest), manifest.parents[1]
    reals = load_reals(sealed, load_index(sealed, root), root, 16)
    random = torch.Generator().manual_seed(0)
    drawn = reals.labels[reals.sample(4000, random)].mean(dim=0)
    assert drawn[0] > 1.7 * reals.labels.mean(dim=0)[0]
    assert drawn[2] == 0
