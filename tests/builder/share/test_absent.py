"""What stands for a generator that is not here."""

import dataclasses

import numpy as np
import pytest

from builder.contract import CheckError, Manifest
from builder.share.absent import absent


def test_it_has_the_identity_and_the_sizes_that_the_manifest_names(manifest: Manifest) -> None:
    loaded = absent(manifest)
    assert manifest.generator is not None
    said = {name: value for name, value in manifest.generator.items() if name != "rejected"}
    facts = dataclasses.asdict(loaded.facts())
    assert {**facts, "labels": list(facts["labels"])} == said


def test_it_renders_nothing(manifest: Manifest) -> None:
    generator = absent(manifest).generator
    latents = np.zeros((1, generator.latent_size), np.float32)
    with pytest.raises(CheckError, match="name the generator by --generator"):
        generator(latents, np.zeros((1, len(generator.labels)), np.float32))


@pytest.mark.parametrize("wrong", ["Mass", ["Mass", "\x1b[31mEdema"]])
def test_a_manifest_that_does_not_describe_it_is_refused(
    manifest: Manifest, wrong: str | list[str]
) -> None:
    assert manifest.generator is not None
    other = dataclasses.replace(manifest, generator={**manifest.generator, "labels": wrong})
    with pytest.raises(CheckError, match="The manifest's generator is refused"):
        absent(other)
