"""The smaller built-in generator: it ships, the labels show, and it has 64 pixels."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder import generators
from builder.contract import UsageError, load_manifest, sha256_file
from builder.generators import nih64
from builder.labels import NIH

WEIGHTS = Path(nih64.__file__).with_suffix(".safetensors")
SYNTHETIC_ONLY = [
    *("--dataset", "nih", "--real", "none", "--regime", "1", "--target", "Hernia"),
    *("--generator", "nih64"),
]

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def test_it_ships_with_its_card_in_eight_megabytes() -> None:
    assert WEIGHTS.stat().st_size <= 8 << 20
    card = WEIGHTS.with_suffix(".card.md").read_text()
    for words in ("xbuild fit-gan", "NIH Clinical Center", "KID", "Not for diagnosis"):
        assert words in card


def test_it_knows_every_label_of_nih_and_is_named_by_its_weights() -> None:
    loaded = generators.find("nih64", 224)
    assert loaded.generator.labels == NIH
    assert loaded.generator.resolution == 64
    assert getattr(loaded.generator, "unseen", ()) == ()
    assert (loaded.name, loaded.sha256) == ("nih64", sha256_file(WEIGHTS))
    with pytest.raises(UsageError, match="nih64 takes no argument, got 'big'"):
        generators.load("nih64:big")


def test_latents_and_labels_both_show() -> None:
    generator = generators.load("nih64")
    random = np.random.default_rng(0)
    count = len(NIH)
    one = np.repeat(random.standard_normal((1, generator.latent_size), dtype=np.float32), count, 0)
    many = random.standard_normal((count, generator.latent_size), dtype=np.float32)
    nothing = np.zeros((count, count), np.float32)
    by_label = generator(one, np.eye(count, dtype=np.float32)).astype(float).std(axis=0).mean()
    by_latent = generator(many, nothing).astype(float).std(axis=0).mean()
    assert by_label > 8  # grey levels, per pixel
    assert by_latent > 16


def test_more_pixels_than_it_has_are_refused(xbuild: Xbuild, tmp_path: Path) -> None:
    done = xbuild("synth", *SYNTHETIC_ONLY, "--image-size", "224", "--out", tmp_path)
    assert done.returncode == 2
    assert "nih64 makes 64 pixels and --image-size asks for 224" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_phantom_keeps_its_224_pixels(xbuild: Xbuild, tmp_path: Path) -> None:
    done = xbuild("synth", *SYNTHETIC_ONLY, "--generator", "phantom", "--out", tmp_path)
    assert done.returncode == 0
    assert "phantoms are drawings" in done.stderr
    assert load_manifest(tmp_path / "manifests" / "gan1.json").image.height == 224


@pytest.mark.slow
def test_real_radiographs_are_balanced_with_it(
    xbuild: Xbuild, shared: Path, tmp_path: Path
) -> None:
    targets = [w for t in ("Cardiomegaly", "Mass", "Pleural_Thickening") for w in ("--target", t)]
    words = ["--dataset", "nih", "--root", shared / "data" / "nih2k_64", "--regime", 100, *targets]
    words += ["--generator", "nih64"]
    done = xbuild("synth", *words, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "manifests" / "gan100.json"
    assert json.loads(path.read_text())["generator"]["name"] == "nih64"
    assert xbuild("verify", path).returncode == 0
