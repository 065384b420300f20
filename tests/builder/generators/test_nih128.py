"""The built-in generator: it ships, it is used for NIH's labels, and the labels show."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder import generators
from builder.contract import UsageError, load_manifest, sha256_file
from builder.generators import nih128
from builder.labels import NIH

WEIGHTS = Path(nih128.__file__).with_suffix(".safetensors")

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def test_it_ships_with_its_card_in_eight_megabytes() -> None:
    assert WEIGHTS.stat().st_size <= 8 << 20
    card = WEIGHTS.with_suffix(".card.md").read_text()
    for words in ("xbuild fit-gan", "NIH Clinical Center", "KID", "Not for diagnosis"):
        assert words in card


def test_it_knows_every_label_of_nih_and_is_named_by_its_weights() -> None:
    loaded = generators.find("nih128", 224)
    assert loaded.generator.labels == NIH
    assert loaded.generator.resolution == 128
    assert getattr(loaded.generator, "unseen", ()) == ()
    assert (loaded.name, loaded.sha256) == ("nih128", sha256_file(WEIGHTS))
    with pytest.raises(UsageError, match="nih128 takes no argument, got 'big'"):
        generators.load("nih128:big")


def test_latents_and_labels_both_show() -> None:
    generator = generators.load("nih128")
    random = np.random.default_rng(0)
    count = len(NIH)
    one = np.repeat(random.standard_normal((1, generator.latent_size), dtype=np.float32), count, 0)
    many = random.standard_normal((count, generator.latent_size), dtype=np.float32)
    nothing = np.zeros((count, count), np.float32)
    by_label = generator(one, np.eye(count, dtype=np.float32)).astype(float).std(axis=0).mean()
    by_latent = generator(many, nothing).astype(float).std(axis=0).mean()
    assert by_label > 8  # grey levels, per pixel
    assert by_latent > 16


_PRINTS = """
import hashlib, numpy as np
from builder.generators import load
generator = load("nih128")
latents = np.random.default_rng(7).standard_normal((9, generator.latent_size), dtype=np.float32)
images = generator(latents, np.eye(9, len(generator.labels), dtype=np.float32))
print(hashlib.sha256(images.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_no_byte_depends_on_the_kernels_of_a_cpu() -> None:
    """Other CPUs are imitated: MKL's sums in the order of any x86, kernels without AVX-512."""
    other = {
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    }
    found = {
        subprocess.check_output([sys.executable, "-c", _PRINTS], env={**os.environ, **more})
        for more in ({}, other)
    }
    assert len(found) == 1


@pytest.mark.parametrize("words", [[], ["--image-size", "32"]])
def test_a_dataset_with_nihs_labels_is_rendered_with_it(
    xbuild: Xbuild, tmp_path: Path, words: list[str]
) -> None:
    only = ("--dataset", "nih", "--real", "none", "--regime", "1", "--target", "Hernia")
    done = xbuild("synth", *only, *words, "--out", tmp_path, "--workers", 1)
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(tmp_path / "manifests" / "gan1.json")
    assert manifest.generator["name"] == manifest.recipe["generator"] == "nih128"
    assert manifest.image.height == int(words[1] if words else 128)
    assert "phantom" not in done.stderr
