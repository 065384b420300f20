"""Pickles as published, made here from random weights → convert → load → the same images.

`paper_images` is written from docs/PAPER.md alone, in plain numpy and float64, with loops where
TensorFlow has padding rules: it shares nothing with the generator under test.
"""

import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from builder.contract import CheckError, UsageError
from builder.generators import pggan
from builder.generators.tfpickle import convert

LABELS = ("Lung Lesion", "Pleural Other", "Fracture")


class Network:
    """As tfutil.Network pickles itself."""

    def __init__(self, state):
        self.state = state

    def __getstate__(self):
        return self.state


def dump(value, protocol=4):
    """The pickle of a value whose Networks are `tfutil.Network`s, a module that nobody has."""
    module = types.ModuleType("tfutil")
    module.Network = Network
    Network.__module__ = "tfutil"
    sys.modules["tfutil"] = module
    try:
        return pickle.dumps(value, protocol)
    finally:
        del sys.modules["tfutil"]


def random_network(lod=0.0, seed=0, **static_kwargs):
    """A state of the published form: standard normal weights, as the equalized rate stores them."""
    args = {"resolution": 16, "latent_size": 10, "label_size": 3, "fmap_base": 96, "fmap_max": 12}
    args |= static_kwargs
    rng = np.random.Generator(np.random.PCG64(seed))
    variables = [("lod", np.float32(lod))]

    def layer(name, bias, *shape):
        spread = 1.0 if args.get("use_wscale", True) else 0.3
        weight = rng.normal(0, spread, shape).astype(np.float32)
        variables.append((f"{name}/weight", weight))
        variables.append((f"{name}/bias", rng.normal(0, 0.3, bias).astype(np.float32)))

    maps = [min(args["fmap_base"] // 2**stage, args["fmap_max"]) for stage in range(8)]
    layer("4x4/Dense", maps[1], args["latent_size"] + args["label_size"], maps[1] * 16)
    layer("4x4/Conv", maps[1], 3, 3, maps[1], maps[1])
    top = args["resolution"].bit_length() - 1
    for r in range(3, top + 1):
        if args.get("fused_scale", True):
            layer(f"{2**r}x{2**r}/Conv0_up", maps[r - 1], 3, 3, maps[r - 1], maps[r - 2])
        else:
            layer(f"{2**r}x{2**r}/Conv0", maps[r - 1], 3, 3, maps[r - 2], maps[r - 1])
        layer(f"{2**r}x{2**r}/Conv1", maps[r - 1], 3, 3, maps[r - 1], maps[r - 1])
    for r in range(2, top + 1):
        layer(f"ToRGB_lod{top - r}", 1, 1, 1, maps[r - 1], 1)
    return {
        "version": 2,
        "name": "Gs",
        "static_kwargs": args,
        "build_module_src": "raise SystemExit('this source text must never be run')",
        "build_func_name": "G_paper",
        "variables": variables,
    }


def published(tmp_path, state, protocol=4):
    """The path of a `network-final.pkl`: (G, D, Gs), where only Gs is a usable generator."""
    other = {**state, "build_func_name": "D_paper", "variables": []}
    path = tmp_path / "network-final.pkl"
    path.write_bytes(dump((Network(other), Network(other), Network(state)), protocol))
    return path


def paper_images(state, latents, labels):
    """uint8 [B, H, W] by docs/PAPER.md, section "The generator"."""
    args, variables = state["static_kwargs"], dict(state["variables"])
    lod, top = float(variables["lod"]), args["resolution"].bit_length() - 1

    def layer(name, gain, fan_in):
        scale = gain / np.sqrt(fan_in) if args.get("use_wscale", True) else 1.0
        return variables[f"{name}/weight"].astype(float) * scale, variables[f"{name}/bias"]

    def pixel_norm(x):
        return x / np.sqrt((x**2).mean(1, keepdims=True) + args.get("pixelnorm_epsilon", 1e-8))

    def finish(x, bias):
        x = x + bias[None, :, None, None]
        x = np.where(x > 0, x, x * (0.2 if args.get("use_leakyrelu", True) else 0.0))
        return pixel_norm(x) if args.get("use_pixelnorm", True) else x

    def nearest(x):
        return x.repeat(2, 2).repeat(2, 3)

    def conv(x, name):
        weight, bias = layer(name, np.sqrt(2), 9 * x.shape[1])
        padded, size = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), x.shape[2]
        out = 0
        for i in range(3):
            for j in range(3):
                part = padded[:, :, i : i + size, j : j + size]
                out = out + np.einsum("bchw,co->bohw", part, weight[i, j])
        return finish(out, bias)

    def conv_up(x, name):
        weight, bias = layer(name, np.sqrt(2), 9 * x.shape[1])
        wide = np.pad(weight, ((1, 1), (1, 1), (0, 0), (0, 0)))
        kernel = wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]
        size = x.shape[2]
        out = np.zeros((len(x), weight.shape[2], 2 * size, 2 * size))
        for row in range(size):
            for column in range(size):
                for i in range(4):
                    for j in range(4):
                        y, z = 2 * row + i - 1, 2 * column + j - 1  # SAME: one cut on each side
                        if 0 <= y < 2 * size and 0 <= z < 2 * size:
                            out[:, :, y, z] += x[:, :, row, column] @ kernel[i, j].T
        return finish(out, bias)

    def grey(x, r):
        weight, bias = layer(f"ToRGB_lod{top - r}", 1.0, x.shape[1])
        return np.einsum("bchw,co->bohw", x, weight[0, 0]) + bias[None, :, None, None]

    x = np.concatenate([latents, labels], 1).astype(float)
    if args.get("normalize_latents", True):
        x = pixel_norm(x)
    weight, bias = layer("4x4/Dense", np.sqrt(2) / 4, x.shape[1])
    x = conv(finish((x @ weight).reshape(len(x), -1, 4, 4), bias), "4x4/Conv")
    image = grey(x, 2)
    for r in range(3, top + 1):  # as trained: every resolution is blended in by clip(lod - its lod)
        block = f"{2**r}x{2**r}"
        fused = args.get("fused_scale", True)
        x = conv_up(x, f"{block}/Conv0_up") if fused else conv(nearest(x), f"{block}/Conv0")
        x = conv(x, f"{block}/Conv1")
        finer = grey(x, r)
        image = finer + (nearest(image) - finer) * np.clip(lod - (top - r), 0, 1)
    return np.clip(np.rint((image + 1) / 2 * 255), 0, 255)[:, 0]


def inputs(count, latents=10, labels=3):
    rng = np.random.Generator(np.random.PCG64(7))
    drawn = rng.integers(0, 2, (count, labels)).astype(np.float32)
    return rng.normal(size=(count, latents)).astype(np.float32), drawn


@pytest.mark.parametrize("lod", [0.0, 0.5, 1.25, 2.0, 7.5])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("resolution", [4, 16, 32])
def test_a_published_pickle_makes_the_papers_images(tmp_path, resolution, fused, lod):
    state = random_network(lod, resolution=resolution, fused_scale=fused)
    convert(published(tmp_path, state), tmp_path / "g.safetensors", LABELS)
    generator = pggan.load(str(tmp_path / "g.safetensors"), 224)
    assert (generator.labels, generator.resolution, generator.latent_size) == (
        LABELS,
        resolution,
        10,
    )
    images = generator(*inputs(2))
    expected = paper_images(state, *inputs(2))
    assert images.dtype == np.uint8
    assert images.shape == (2, resolution, resolution)
    assert expected.std() > 20
    difference = np.abs(images - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@pytest.mark.parametrize(
    "kwargs",
    [
        {"normalize_latents": False},
        {"use_wscale": False},
        {"use_pixelnorm": False},
        {"pixelnorm_epsilon": 0.1},
        {"use_leakyrelu": False},
        {"label_size": 0},
    ],
    ids=str,
)
def test_each_argument_of_the_network_counts(tmp_path, kwargs):
    state = random_network(**kwargs)
    names = LABELS[: state["static_kwargs"]["label_size"]]
    convert(published(tmp_path, state), tmp_path / "g.safetensors", names)
    drawn = inputs(2, labels=len(names))
    images = pggan.load(str(tmp_path / "g.safetensors"), 16)(*drawn)
    assert np.abs(images - paper_images(state, *drawn)).max() <= 1


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_gives_the_same_file(tmp_path, protocol):
    state = random_network()
    made = convert(published(tmp_path, state, protocol), tmp_path / "g.safetensors", LABELS)
    expected = convert(published(tmp_path, state), tmp_path / "four.safetensors", LABELS)
    assert made.sha256 == expected.sha256
    with safe_open(tmp_path / "g.safetensors", "np") as file:
        variables = dict(state["variables"])
        del variables["lod"]
        assert set(file.keys()) == set(variables)
        for name, value in variables.items():
            np.testing.assert_array_equal(file.get_tensor(name), value)
            assert file.get_tensor(name).dtype == np.float32
    assert made.parameters == sum(value.size for value in variables.values())


def test_absent_arguments_take_the_papers_values_and_unknown_ones_are_told(tmp_path):
    state = random_network(fmap_base=512, fmap_max=8, latent_size=8)
    del state["static_kwargs"]["latent_size"]
    state["static_kwargs"] |= {"structure": "linear", "mystery": 1, "fmap_max": np.int64(8)}
    made = convert(published(tmp_path, state), tmp_path / "g.safetensors", LABELS)
    assert made.ignored == ("mystery",)
    assert made.design.latent_size == 8
    assert (made.design.pixelnorm_epsilon, made.design.use_leakyrelu) == (1e-8, True)


def _state(tmp_path, **changes):
    return published(tmp_path, {**random_network(), **changes})


def _without(name, *added):
    return [v for v in random_network()["variables"] if v[0] != name] + list(added)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 1}, "'G_paper' of version 1"),
        ({"build_func_name": "D_paper"}, "'D_paper'"),
        ({"static_kwargs": None}, "static_kwargs"),
        ({"variables": _without("8x8/Conv1/bias")}, "'8x8/Conv1/bias' is missing"),
        ({"variables": _without("", ("extra", np.zeros(1, "f4")))}, "'extra' does not belong"),
        ({"variables": _without("", ("lod", np.float32(1)))}, "'lod' is no array or is there tw"),
        ({"variables": _without("lod", ("lod", np.zeros(2, "f4")))}, "'lod' has shape [2]"),
        ({"variables": _without("lod", ("lod", np.float32(-1)))}, "lod must be a number"),
        ({"variables": _without("lod", ("lod", np.float32("nan")))}, "finite"),
        ({"variables": _without("lod", ("lod", np.float64(1e300)))}, "finite"),
        ({"variables": _without("lod", ("lod", "0"))}, "'lod' is no array"),
        (
            {"variables": _without("4x4/Conv/bias", ("4x4/Conv/bias", np.zeros(5, "f4")))},
            "4x4/Conv/bias has shape [5], expected [12]",
        ),
    ],
)
def test_a_network_that_is_not_the_published_one_is_refused(tmp_path, changes, said):
    with pytest.raises(CheckError) as caught:
        convert(_state(tmp_path, **changes), tmp_path / "g.safetensors", LABELS)
    assert said in str(caught.value)
    assert not (tmp_path / "g.safetensors").exists()


def test_colour_and_another_number_of_labels_are_refused(tmp_path):
    out = tmp_path / "g.safetensors"
    with pytest.raises(CheckError, match="3 channels"):
        convert(published(tmp_path, random_network(num_channels=3)), out, LABELS)
    with pytest.raises(UsageError, match="takes 3 labels, but 2 names") as caught:
        convert(published(tmp_path, random_network()), out, LABELS[:2])
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="differ from each other"):
        convert(published(tmp_path, random_network()), out, ["a", "a", "b"])


def test_a_file_in_the_way_is_kept(tmp_path):
    out = Path(tmp_path / "new" / "g.safetensors")
    pickled = published(tmp_path, random_network())
    first = convert(pickled, out, LABELS)
    assert convert(pickled, out, LABELS) == first
    before = out.read_bytes()
    with pytest.raises(UsageError, match="there already and differs"):
        convert(published(tmp_path, random_network(seed=1)), out, LABELS)
    assert out.read_bytes() == before
    with pytest.raises(CheckError, match="No such file"):
        convert(tmp_path / "none.pkl", out, LABELS)
    with pytest.raises(CheckError, match="regular file"):
        convert(tmp_path, out, LABELS)
