"""Small networks of random weights (Stable Diffusion, the paper's GAN), and a phantom."""

import json
import pickle
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from builder.generators import diffusers
from builder.generators.diffusers import DiffusersGenerator
from builder.generators.pggan_format import Design, layer_shapes
from builder.generators.phantom import Phantom
from builder.generators.phantom import load as load_phantom
from builder.render import Floats, Generator

TINY_LABELS = ("No Finding", "Mass", "Effusion", "Support Devices", "Pleural Other")


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline in RoentGen's place: 16 pixels, a token per letter."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    StableDiffusionPipeline(
        **_text_parts(folder),
        **_image_parts(),
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder / "sd", safe_serialization=True)
    return folder / "sd"


def _text_parts(folder: Path) -> dict[str, object]:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: i for i, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
    )
    tokenizer = CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)
    return {"tokenizer": tokenizer, "text_encoder": CLIPTextModel(config)}


def _image_parts() -> dict[str, object]:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        latent_channels=4,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    return {"unet": unet, "vae": vae}


@pytest.fixture
def folder(pipeline: Path, tmp_path: Path) -> Path:
    """A copy of the pipeline, to be spoilt at will."""
    return Path(shutil.copytree(pipeline, tmp_path / "sd"))


@pytest.fixture(scope="session")
def load_tiny() -> Callable[..., DiffusersGenerator]:
    """Load a pipeline's folder with TINY_LABELS and 3 steps, or other options."""

    def load(folder: Path, **options: str) -> DiffusersGenerator:
        usual = {"steps": "3", "labels": ",".join(TINY_LABELS)}
        return diffusers.load(str(folder), 224, **usual | options)

    return load


@pytest.fixture(scope="session")
def inputs() -> Callable[..., tuple[Floats, Floats]]:
    """Random latents and label vectors for a generator or a design."""

    def draw(generator: Generator | Design, count: int = 4) -> tuple[Floats, Floats]:
        random = np.random.default_rng(1)
        labels = random.integers(0, 2, (count, len(generator.labels))).astype(np.float32)
        return random.standard_normal((count, generator.latent_size), dtype=np.float32), labels

    return draw


@pytest.fixture(scope="session")
def random_tensors() -> Callable[..., dict[str, torch.Tensor]]:
    """Weights and biases for a design of the paper's generator."""

    def draw(design: Design, seed: int = 0) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(seed)
        tensors = {}
        for layer, (weight, bias) in layer_shapes(design).items():
            tensors[f"{layer}/weight"] = torch.randn(weight, generator=random)
            tensors[f"{layer}/bias"] = torch.randn(bias, generator=random) / 3
        return tensors

    return draw


@pytest.fixture
def write_pggan(tmp_path: Path) -> Callable[..., Path]:
    """Write a network with fields of its header changed, and give the file's path."""

    def write(design: Design, tensors: dict[str, torch.Tensor], **header: object) -> Path:
        path = tmp_path / "generator.safetensors"
        text = json.dumps(json.loads(design.to_json()) | header)
        path.write_bytes(save(tensors, metadata={"header": text}))
        return path

    return write


class Network:
    """As tfutil.Network pickles itself."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


@pytest.fixture
def published(tmp_path: Path) -> Callable[..., Path]:
    """Write a `network-final.pkl`: (G, D, Gs), where only Gs is a usable generator."""

    def write(state: dict[str, Any], protocol: int = 4) -> Path:
        other = {**state, "build_func_name": "D_paper", "variables": []}
        path = tmp_path / "network-final.pkl"
        path.write_bytes(_dump((Network(other), Network(other), Network(state)), protocol))
        return path

    return write


def _dump(value: object, protocol: int) -> bytes:
    """The pickle of a value whose Networks are `tfutil.Network`s, a module that nobody has."""
    module = types.ModuleType("tfutil")
    module.Network = Network  # type: ignore[attr-defined]
    Network.__module__ = "tfutil"
    sys.modules["tfutil"] = module
    try:
        return pickle.dumps(value, protocol)
    finally:
        del sys.modules["tfutil"]


@pytest.fixture(scope="session")
def random_network() -> Callable[..., dict[str, Any]]:
    """A state of the published form: standard normal weights, as the equalized rate stores them."""

    def draw(lod: float = 0.0, seed: int = 0, **static_kwargs: object) -> dict[str, Any]:
        args: dict[str, Any] = {"resolution": 16, "latent_size": 10, "label_size": 3}
        args |= {"fmap_base": 96, "fmap_max": 12} | static_kwargs
        random = np.random.Generator(np.random.PCG64(seed))
        spread = 1.0 if args.get("use_wscale", True) else 0.3
        variables: list[tuple[str, object]] = [("lod", np.float32(lod))]
        for name, (weight, bias) in _paper_layers(args).items():
            variables.append((f"{name}/weight", random.normal(0, spread, weight).astype("f4")))
            variables.append((f"{name}/bias", random.normal(0, 0.3, bias).astype("f4")))
        return {
            "version": 2,
            "name": "Gs",
            "static_kwargs": args,
            "build_module_src": "raise SystemExit('this source text must never be run')",
            "build_func_name": "G_paper",
            "variables": variables,
        }

    return draw


def _paper_layers(args: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], int]]:
    """Shapes of weights and biases by docs/PAPER.md, independent of the code under test."""
    maps = [min(args["fmap_base"] // 2**stage, args["fmap_max"]) for stage in range(8)]
    top = args["resolution"].bit_length() - 1
    inputs = args["latent_size"] + args["label_size"]
    layers: dict[str, tuple[tuple[int, ...], int]] = {
        "4x4/Dense": ((inputs, maps[1] * 16), maps[1]),
        "4x4/Conv": ((3, 3, maps[1], maps[1]), maps[1]),
    }
    for r in range(3, top + 1):
        below, here, block = maps[r - 2], maps[r - 1], f"{2**r}x{2**r}"
        if args.get("fused_scale", True):
            layers[f"{block}/Conv0_up"] = ((3, 3, here, below), here)
        else:
            layers[f"{block}/Conv0"] = ((3, 3, below, here), here)
        layers[f"{block}/Conv1"] = ((3, 3, here, here), here)
    for r in range(2, top + 1):
        layers[f"ToRGB_lod{top - r}"] = ((1, 1, maps[r - 1], 1), 1)
    return layers


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    """The phantom at 64 pixels."""
    return load_phantom("", 64)


@pytest.fixture(scope="session")
def draw_latents(phantom: Phantom) -> Callable[..., Floats]:
    """Standard normal latents of the phantom."""

    def draw(count: int, seed: int = 0) -> Floats:
        random = np.random.default_rng(seed)
        return random.standard_normal((count, phantom.latent_size)).astype(np.float32)

    return draw


@pytest.fixture(scope="session")
def label_rows(phantom: Phantom) -> Callable[..., Floats]:
    """Label vectors of the phantom with the named pathologies present."""

    def make(count: int, *names: str) -> Floats:
        labels = np.zeros((count, len(phantom.labels)), np.float32)
        labels[:, [phantom.labels.index(name) for name in names]] = 1.0
        return labels

    return make
