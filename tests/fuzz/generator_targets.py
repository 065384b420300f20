"""Generators, published pickles, pipelines of diffusers, and the snapshots of fit-gan."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from borrowed import conftest
from bounds import Target
from layers import CHECKPOINT, TENSORS, inner_json
from run_targets import LABELS, network
from safetensors.torch import save

from builder.fitgan import snapshot
from builder.generators import pggan
from builder.generators.diffusers_folder import check_configs
from builder.generators.pggan_format import Design, layer_shapes
from builder.generators.tfpickle import convert


@cache
def generators() -> Sequence[bytes]:
    made = Design(
        labels=LABELS,
        resolution=8,
        num_channels=1,
        latent_size=4,
        fmap_base=32,
        fmap_decay=1.0,
        fmap_max=4,
        normalize_latents=True,
        use_wscale=True,
        use_pixelnorm=True,
        pixelnorm_epsilon=1e-8,
        use_leakyrelu=True,
        fused_scale=True,
        lod=0.0,
    )
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for layer, (weight, bias) in layer_shapes(made).items():
        tensors[f"{layer}/weight"] = torch.randn(weight, generator=random)
        tensors[f"{layer}/bias"] = torch.randn(bias, generator=random)
    return [save(tensors, metadata={"header": made.to_json()})]


def generator(data: bytes, folder: Path) -> None:
    path = folder / "generator.safetensors"
    path.write_bytes(data)
    pggan.load(str(path), 64)


@cache
def pickles() -> Sequence[bytes]:
    made = conftest("builder/generators")
    size = {"resolution": 8, "latent_size": 4, "label_size": 2, "fmap_base": 32, "fmap_max": 4}
    random = np.random.default_rng(0)
    variables: list[tuple[str, object]] = [("lod", np.float32(0))]
    for name, (weight, bias) in made._paper_layers(size).items():
        variables.append((f"{name}/weight", random.normal(0, 1, weight).astype("f4")))
        variables.append((f"{name}/bias", random.normal(0, 0.3, bias).astype("f4")))
    state = {
        "version": 2,
        "name": "Gs",
        "static_kwargs": size,
        "build_module_src": "raise SystemExit('never run')",
        "build_func_name": "G_paper",
        "variables": variables,
    }
    other = made.Network({**state, "build_func_name": "D_paper", "variables": []})
    networks = (other, other, made.Network(state))
    return [made._dump(networks, protocol) for protocol in (2, 4)]


def published_pickle(data: bytes, folder: Path) -> None:
    path = folder / "network-final.pkl"
    path.write_bytes(data)
    convert(path, folder / "generator.safetensors", LABELS)


def pipelines() -> Sequence[bytes]:
    parts = {"block_out_channels": [8, 16], "layers_per_block": 1, "sample_size": 8}
    return [json.dumps({"_class_name": "UNet2DConditionModel", **parts}).encode()]


def pipeline(data: bytes, folder: Path) -> None:
    (folder / "unet").mkdir()
    (folder / "unet" / "config.json").write_bytes(data)
    check_configs(folder)


# --- a run of fit-gan ----------------------------------------------------------------------------


def gan_run() -> Any:
    """What a snapshot is put into: networks of a layer each."""
    parts = {name: network()[0] for name in ("generator", "discriminator", "average")}
    optimizers = {
        f"{name[0]}_optimizer": torch.optim.Adam(parts[name].parameters())
        for name in ("generator", "discriminator")
    }
    return SimpleNamespace(iteration=0, history=[], **parts, **optimizers)


@cache
def snapshots() -> Sequence[bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.pt"
        snapshot.save(gan_run(), path)
        return [path.read_bytes()]


def gan_snapshot(data: bytes, folder: Path) -> None:
    path = folder / "snapshot.pt"
    path.write_bytes(data)
    snapshot.restore(gan_run(), path)


TARGETS = {
    "generator": Target(
        examples=generators, call=generator, layers=(TENSORS, inner_json("header"))
    ),
    "pickle": Target(examples=pickles, call=published_pickle),
    "pipeline": Target(examples=pipelines, call=pipeline),
    "snapshot": Target(examples=snapshots, call=gan_snapshot, layers=(CHECKPOINT,)),
}
