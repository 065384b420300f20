"""A tiny Stable Diffusion pipeline of random weights stands in for RoentGen."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from builder.contract import Sample, UsageError, load_manifest
from builder.generators import diffusers
from builder.generators.diffusers import DiffusersGenerator
from builder.generators.diffusers_folder import SCHEDULERS
from builder.generators.diffusers_prompt import LABELS, prompt
from builder.render import Floats, render

Load = Callable[..., DiffusersGenerator]
Inputs = Callable[..., tuple[Floats, Floats]]
Xbuild = Callable[..., subprocess.CompletedProcess[str]]

TINY_LABELS = ("No Finding", "Mass", "Effusion", "Support Devices", "Pleural Other")


def test_what_a_generator_is(pipeline: Path, inputs: Inputs) -> None:
    generator = diffusers.load(str(pipeline), 224, steps="2")
    assert (generator.resolution, generator.latent_size) == (16, 4 * 8 * 8)
    assert generator.labels == LABELS
    latents, _ = inputs(generator)
    images = generator(latents, np.eye(4, 21, dtype=np.float32))
    assert images.shape == (4, 16, 16)
    assert images.dtype == np.uint8
    assert images.std() > 10
    assert generator(*inputs(generator, 0)).shape == (0, 16, 16)


@pytest.mark.parametrize("scheduler", ["", *SCHEDULERS])
def test_an_image_depends_on_its_own_row_alone(
    pipeline: Path, load_tiny: Load, inputs: Inputs, scheduler: str
) -> None:
    generator = load_tiny(pipeline, scheduler=scheduler)
    latents, labels = inputs(generator)
    together = generator(latents, labels)
    torch.manual_seed(99)  # the process's own stream is not used
    np.testing.assert_array_equal(together[::-1], generator(latents[::-1], labels[::-1]))
    np.testing.assert_array_equal(together[2:3], generator(latents[2:3], labels[2:3]))
    assert len(np.unique(together, axis=0)) == 4


def test_the_pixels_are_those_of_diffusers_itself(
    pipeline: Path, load_tiny: Load, inputs: Inputs
) -> None:
    generator = load_tiny(pipeline, guidance="7.5")
    latents, labels = inputs(generator, 1)
    reference = StableDiffusionPipeline.from_pretrained(pipeline, local_files_only=True)
    image = reference(
        prompt(labels[0], TINY_LABELS),
        latents=torch.from_numpy(latents.reshape(1, 4, 8, 8)),
        num_inference_steps=3,
        guidance_scale=7.5,
    ).images[0]
    np.testing.assert_array_equal(generator(latents, labels)[0], np.asarray(image.convert("L")))


@pytest.mark.parametrize(
    "options",
    [
        {"guidance": "1"},
        {"steps": "5"},
        {"scheduler": "EulerAncestralDiscreteScheduler"},
        {"template": "A radiograph of {findings}"},
        {"absent": "normal"},
        {"negate": "mass"},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_labels_latents_and_every_option_change_the_pixels(
    pipeline: Path, load_tiny: Load, inputs: Inputs, options: dict[str, str]
) -> None:
    generator = load_tiny(pipeline, guidance="9")
    latents, labels = inputs(generator, 1)
    labels[:] = 0
    image = generator(latents, labels)
    assert (generator(latents, np.float32([[0, 1, 0, 0, 0]])) != image).any()
    assert (generator(-latents, labels) != image).any()
    assert (load_tiny(pipeline, **{"guidance": "9"} | options)(latents, labels) != image).any()


def test_only_the_asked_images_are_made_of_a_padded_batch(
    pipeline: Path, load_tiny: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    once = DiffusersGenerator._render
    monkeypatch.setattr(
        DiffusersGenerator, "_render", lambda self, *row: made.append(row) or once(self, *row)
    )
    samples = [
        Sample(
            key=f"x-mass-{i}",
            split="train",
            origin="synthetic",
            target="Mass",
            draw=i,
            patient="",
            labels=(1, 0),
        )
        for i in range(3)
    ]
    generator = load_tiny(pipeline)
    (images,) = render(generator, samples, pathologies=("Mass", "Hernia"), image_size=16, seed=0)
    assert (len(images), len(made)) == (3, 3)


def test_an_image_that_is_not_finite_is_black(
    pipeline: Path, load_tiny: Load, inputs: Inputs
) -> None:
    generator = load_tiny(pipeline)
    latents, labels = inputs(generator)
    whole = generator(latents, labels)
    latents[1, 5] = np.nan
    images = generator(latents, labels)
    assert not images[1].any()
    np.testing.assert_array_equal(np.delete(images, 1, axis=0), np.delete(whole, 1, axis=0))


def test_nothing_is_fetched(
    pipeline: Path, load_tiny: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address))
    load_tiny(pipeline)
    assert asked == []


BAD_OPTIONS = {
    "labels": [
        ("Mass,,Edema", "names separated by commas"),
        ("Effusion,Pleural Effusion", "each once"),
    ],
    "negate": [("Gout", "names among Mass, Effusion"), ("No Finding", "names among Mass")],
    "template": [("A chest.", "once"), ("{findings} {findings}", "once"), ("{findings} {0}", "no")],
    "absent": [("", "a text"), ("{x}", "a text")],
    "guidance": [
        ("high", "a number from 0 to 99; got 'high'"),
        ("nan", ""),
        ("-1", ""),
        ("1e3", ""),
    ],
    "steps": [("0", "from 1 to 1000; got '0'"), ("1001", ""), ("7.5", ""), ("٣", "")],
    "scheduler": [("PNDM", "one of DDIMScheduler"), ("DPMSolverSDEScheduler", "")],
    "precision": [("fp16", "fp32 or bf16; got 'fp16'")],
}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [(option, *case) for option, cases in BAD_OPTIONS.items() for case in cases],
)
def test_an_option_that_is_not_allowed_is_refused(
    pipeline: Path, load_tiny: Load, option: str, value: str, words: str
) -> None:
    with pytest.raises(UsageError, match=f"option {option} takes .*{words}") as refusal:
        load_tiny(pipeline, **{option: value})
    assert refusal.value.exit_code == 2


def test_a_prompt_that_the_text_encoder_would_cut_off_is_refused(
    pipeline: Path, load_tiny: Load, inputs: Inputs
) -> None:
    generator = load_tiny(pipeline, template="word " * 20 + "{findings}")
    with pytest.raises(UsageError, match=r"has 1\d\d tokens, but the text encoder reads 77"):
        generator(*inputs(generator))


@pytest.mark.parametrize("size", [[8, 16], None])
def test_a_pipeline_that_is_not_square_is_refused(
    folder: Path, load_tiny: Load, size: list[int] | None
) -> None:
    config = folder / "unet" / "config.json"
    stored = json.loads(config.read_text())
    config.write_text(json.dumps(stored | {"sample_size": [8, 8]}))
    assert load_tiny(folder).resolution == 16
    config.write_text(json.dumps(stored | {"sample_size": size}))
    with pytest.raises(UsageError, match=f"not square: its latents are {re.escape(str(size))}"):
        load_tiny(folder)


def test_the_module_alone_imports_nothing_heavy() -> None:
    code = (
        "import sys, builder.generators.diffusers\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_renders_with_a_pipeline(
    pipeline: Path, small: list[object], xbuild: Xbuild, tmp_path: Path
) -> None:
    words = [*small, "--out", tmp_path, "--workers", 1, "--image-size", 16]
    words += ["--generator", f"diffusers:{pipeline}", "--generator-option", "steps=2"]
    done = xbuild(*words)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    assert manifest.generator["name"] == "diffusers"
    assert manifest.recipe["options"] == ["steps=2"]
    assert set(manifest.software) > {"diffusers", "transformers", "torch"}
    assert str(pipeline) not in path.read_text()
    assert xbuild("verify", path).returncode == 0
    refused = xbuild(*words, "--generator-option", "mood=calm")
    assert refused.returncode == 2
    assert "has no option 'mood': it takes labels, template" in refused.stderr
