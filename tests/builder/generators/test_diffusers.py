"""A tiny Stable Diffusion pipeline of random weights, made on the spot, stands in for RoentGen."""

import json
import pickle
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from builder.contract import CheckError, Sample, UsageError, load_manifest
from builder.generators import diffusers
from builder.labels import CHEXPERT, NIH, find_pathology
from builder.render import render

LABELS = ("No Finding", "Mass", "Effusion", "Support Devices", "Pleural Other")
UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder of the pipeline: 16 pixels, a token per letter."""
    folder = tmp_path_factory.mktemp("pipeline")
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    StableDiffusionPipeline(
        tokenizer=CLIPTokenizer(
            str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                bos_token_id=len(words) - 2,
                eos_token_id=len(words) - 1,
                pad_token_id=len(words) - 1,
            )
        ),
        unet=UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
        ),
        vae=AutoencoderKL(
            block_out_channels=(8, 8),
            latent_channels=4,
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder / "sd", safe_serialization=True)
    return folder / "sd"


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy of the pipeline, to be spoilt at will."""
    return Path(shutil.copytree(made, tmp_path / "sd"))


def load(folder, **options):
    return diffusers.load(
        str(folder), 224, **({"steps": "3", "labels": ",".join(LABELS)} | options)
    )


def inputs(generator, count=4):
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, (count, len(generator.labels))).astype(np.float32)
    return random.standard_normal((count, generator.latent_size), dtype=np.float32), labels


def edit(folder, file, **changes):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- prompts -------------------------------------------------------------------------------------

PROMPTS = [
    ((0, 1, 1, 0, 0), {}, "mass, pleural effusion."),
    ((0, 0, 0, 0, 1), {}, "pleural thickening."),
    ((0, 0, 0, 0, 0), {}, "no acute cardiopulmonary process."),
    ((1, 0, 0, 0, 0), {}, "no acute cardiopulmonary process."),
    ((1, 1, 0, 0, 0), {}, "mass."),
    ((1, 0, 0, 1, 0), {}, "no acute cardiopulmonary process, support devices."),
    ((0, 1, 0, 1, 0), {}, "mass, support devices."),
    ((0, 1, 0, 0, 0), {"negate": ["Effusion", "Mass"]}, "mass, no pleural effusion."),
    ((0, 0, 0, 0, 0), {"negate": ["Mass"], "absent": "normal chest"}, "normal chest, no mass."),
    ((0, 1, 0, 0, 0), {"template": "Chest with {findings}; PA"}, "Chest with mass; PA"),
]


@pytest.mark.parametrize(("present", "options", "expected"), PROMPTS)
def test_prompts(present, options, expected):
    assert diffusers.prompt(np.float32(present), LABELS, **options) == expected


def test_what_is_said_twice_is_said_once_and_not_denied():
    labels = ("Pleural Other", "Pleural_Thickening")
    assert diffusers.prompt((1, 1), labels) == "pleural thickening."
    assert diffusers.prompt((1, 0), labels, negate=labels) == "pleural thickening."


def test_the_labels_cover_chexpert_and_nih_once():
    assert all(find_pathology(name, diffusers.LABELS) for name in (*CHEXPERT, *NIH))
    assert len(diffusers.LABELS) == 21


# --- images --------------------------------------------------------------------------------------


def test_what_a_generator_is(made):
    generator = diffusers.load(str(made), 224, steps="2")
    assert (generator.resolution, generator.latent_size) == (16, 4 * 8 * 8)
    assert generator.labels == diffusers.LABELS
    latents, _ = inputs(generator)
    images = generator(latents, np.eye(4, 21, dtype=np.float32))
    assert images.shape == (4, 16, 16)
    assert images.dtype == np.uint8
    assert images.std() > 10
    assert generator(*inputs(generator, 0)).shape == (0, 16, 16)


@pytest.mark.parametrize("scheduler", ["", *diffusers.SCHEDULERS])
def test_an_image_depends_on_its_own_row_alone(made, scheduler):
    generator = load(made, scheduler=scheduler)
    latents, labels = inputs(generator)
    together = generator(latents, labels)
    torch.manual_seed(99)  # the process's own stream is not asked
    np.testing.assert_array_equal(together[::-1], generator(latents[::-1], labels[::-1]))
    np.testing.assert_array_equal(together[2:3], generator(latents[2:3], labels[2:3]))
    assert len(np.unique(together, axis=0)) == 4


def test_the_pixels_are_those_of_diffusers_itself(made):
    generator = load(made, guidance="7.5")
    latents, labels = inputs(generator, 1)
    pipeline = StableDiffusionPipeline.from_pretrained(made, local_files_only=True)
    image = pipeline(
        diffusers.prompt(labels[0], LABELS),
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
def test_labels_latents_and_every_option_change_the_pixels(made, options):
    generator = load(made, guidance="9")
    latents, labels = inputs(generator, 1)
    labels[:] = 0
    image = generator(latents, labels)
    assert (generator(latents, np.float32([[0, 1, 0, 0, 0]])) != image).any()
    assert (generator(-latents, labels) != image).any()
    assert (load(made, **{"guidance": "9"} | options)(latents, labels) != image).any()


def test_only_the_asked_images_are_made_of_a_padded_batch(made, monkeypatch):
    made_rows = []
    once = diffusers.DiffusersGenerator._render
    monkeypatch.setattr(
        diffusers.DiffusersGenerator,
        "_render",
        lambda self, *row: made_rows.append(row) or once(self, *row),
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
    images = [*render(load(made), samples, pathologies=("Mass", "Hernia"), image_size=16, seed=0)]
    assert (len(images), len(made_rows)) == (3, 3)


def test_an_image_that_is_not_finite_is_black(made):
    generator = load(made)
    latents, labels = inputs(generator)
    whole = generator(latents, labels)
    latents[1, 5] = np.nan
    images = generator(latents, labels)
    assert not images[1].any()
    np.testing.assert_array_equal(np.delete(images, 1, axis=0), np.delete(whole, 1, axis=0))


def test_a_pipeline_of_the_first_diffusers_reads_the_same_and_quietly(folder, made, capfd):
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    edit(folder, "model_index.json", safety_checker=checker, requires_safety_checker=True)
    edit(folder, "scheduler/scheduler_config.json", steps_offset=0)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(folder / VAE)
    for new, name in old.items():
        tensors = {key.replace(f".{new}.", f".{name}."): t for key, t in tensors.items()}
    assert "decoder.mid_block.attentions.0.query.weight" in tensors
    save_file(tensors, folder / VAE)
    generator = load(folder)
    np.testing.assert_array_equal(generator(*inputs(generator)), load(made)(*inputs(generator)))
    assert capfd.readouterr() == ("", "")


def test_nothing_is_fetched(made, monkeypatch):
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address))
    load(made)
    assert asked == []


# --- refusals ------------------------------------------------------------------------------------

BAD_OPTIONS = {
    "labels": [("Mass,,Edema", "names between commas"), ("Effusion,Pleural Effusion", "each once")],
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
def test_an_option_that_cannot_be_is_refused(made, option, value, words):
    with pytest.raises(UsageError, match=f"option {option} takes .*{words}") as refusal:
        load(made, **{option: value})
    assert refusal.value.exit_code == 2


def test_a_prompt_that_the_text_encoder_would_cut_off_is_refused(made):
    generator = load(made, template="word " * 20 + "{findings}")
    with pytest.raises(UsageError, match=r"has 1\d\d tokens, but the text encoder reads 77"):
        generator(*inputs(generator))


@pytest.mark.parametrize("argument", ["", "absent", "vae"])
def test_what_is_no_pipeline_is_refused(made, argument, monkeypatch):
    monkeypatch.chdir(made)
    with pytest.raises(UsageError, match=f"{argument!r} is no folder with a pipeline") as refusal:
        diffusers.load(argument, 224)
    assert refusal.value.exit_code == 2


def test_a_missing_library_is_named(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UsageError, match=r"pip install 'cxr-rebalance\[diffusion\]'"):
        load(made)


@pytest.mark.parametrize(
    "name", ["a.bin", "a.PT", "a.ckpt", "a.pkl", "a.pickle", "a.py", "a.msgpack"]
)
def test_a_folder_with_code_or_pickles_is_refused(folder, name):
    (folder / "unet" / name).touch()
    with pytest.raises(CheckError, match=rf"unet/{name} may run code"):
        load(folder)


def test_a_folder_that_hides_another_is_refused(folder, tmp_path):
    shutil.move(folder / "unet", tmp_path / "elsewhere")
    (folder / "unet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckError, match="unet is a link to a folder"):
        load(folder)


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]
)
def test_no_pickle_is_read_even_where_nobody_looked(folder, tmp_path, name, monkeypatch):
    marker = tmp_path / "marker"
    (folder / f"{name}.safetensors").unlink()
    for pickled in (name, "text_encoder/pytorch_model"):
        (folder / f"{pickled}.bin").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(CheckError, match=r"\.bin may run code"):
        load(folder)
    monkeypatch.setattr(diffusers, "_check_folder", lambda _: None)
    with pytest.raises(CheckError, match=r"is no whole pipeline in safetensors: OSError, .*\w\.$"):
        load(folder)
    assert not marker.exists()


BAD_INDEX = {
    "class": (
        {"_class_name": "StableDiffusionImg2ImgPipeline"},
        "'StableDiffusionImg2ImgPipeline'",
    ),
    "own class": ({"_class_name": ["pipeline", "Mine"]}, ".*'pipeline'.*, expected 'StableDiff"),
    "module": ({"unet": ["os", "system"]}, "'os.system' as 'unet', expected diffusers"),
    "more": ({"x": ["diffusers", "AutoModel"]}, "'diffusers.AutoModel' as 'x', expected nothing"),
    "another": (
        {"scheduler": ["diffusers", "DPMSolverSDEScheduler"]},
        "'diffusers.DPMSolverSDES.*PNDM",
    ),
    "none": ({"vae": [None, None]}, "'nothing' as 'vae', expected diffusers.AutoencoderKL"),
    "shape": ({"vae": [["diffusers"], {}]}, ".* as 'vae', expected diffusers.AutoencoderKL"),
}


@pytest.mark.parametrize("case", BAD_INDEX)
def test_an_index_that_asks_for_other_code_is_refused(folder, case):
    changes, words = BAD_INDEX[case]
    edit(folder, "model_index.json", **changes)
    with pytest.raises(CheckError, match=rf"model_index\.json names {words}"):
        load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\ud800", "[" * 100_000, "\x00"])
def test_an_index_that_is_none_is_refused(folder, text):
    (folder / "model_index.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(CheckError, match=r"model_index\.json is not the index of a pipeline"):
        load(folder)


@pytest.mark.parametrize("file", [UNET, VAE, "text_encoder/model.safetensors"])
def test_a_missing_tensor_is_never_drawn_at_random(folder, file):
    tensors = load_file(folder / file)
    name, _ = tensors.popitem()
    save_file(tensors, folder / file, metadata={"format": "pt"})
    with pytest.raises(CheckError, match=f"{Path(file).parent} lacks .*{name[-8:]}"):
        load(folder)


def test_a_damaged_pipeline_is_refused(folder):
    weights = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(weights[:-100])
    with pytest.raises(CheckError, match="is no whole pipeline in safetensors"):
        load(folder)
    (folder / UNET).write_bytes(weights)
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(CheckError, match="is no whole pipeline in safetensors"):
        load(folder)


@pytest.mark.parametrize("size", [[8, 16], None])
def test_a_pipeline_that_is_not_square_is_refused(folder, size):
    edit(folder, "unet/config.json", sample_size=[8, 8])
    assert load(folder).resolution == 16
    edit(folder, "unet/config.json", sample_size=size)
    with pytest.raises(UsageError, match=f"not square: its latents are {re.escape(str(size))}"):
        load(folder)


def test_the_module_alone_imports_nothing_heavy():
    code = (
        "import sys, builder.generators.diffusers\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_renders_with_a_pipeline(made, small, xbuild, tmp_path):
    words = [*small, "--out", tmp_path, "--workers", 1, "--image-size", 16]
    words += ["--generator", f"diffusers:{made}", "--generator-option", "steps=2"]
    done = xbuild(*words)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    assert manifest.generator["name"] == "diffusers"
    assert manifest.recipe["options"] == ["steps=2"]
    assert set(manifest.software) > {"diffusers", "transformers", "torch"}
    assert str(made) not in path.read_text()
    assert xbuild("verify", path).returncode == 0
    refused = xbuild(*words, "--generator-option", "mood=calm")
    assert refused.returncode == 2
    assert "has no option 'mood': it takes labels, template" in refused.stderr
