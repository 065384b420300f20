"""The file of the paper's generator: what a header may say, and which tensors follow from it."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as unpack

from builder.contract import CheckError
from builder.contract.record import as_record
from builder.generators.pggan_format import (
    Design,
    Shape,
    check_design,
    check_shapes,
    layer_shapes,
    pack,
    parse_header,
    wscale,
)

PUBLISHED: dict[str, Any] = {
    "labels": tuple(f"Finding {i}" for i in range(14)),
    "resolution": 256,
    "num_channels": 1,
    "latent_size": 512,
    "fmap_base": 8192,
    "fmap_decay": 1.0,
    "fmap_max": 512,
    "normalize_latents": True,
    "use_wscale": True,
    "use_pixelnorm": True,
    "pixelnorm_epsilon": 1e-8,
    "use_leakyrelu": True,
    "fused_scale": True,
    "lod": 0.0,
}


def design(**changes: Any) -> Design:
    return Design(**{**PUBLISHED, **changes})


def shapes_of(made: Design) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for layer, (weight, bias) in layer_shapes(made).items():
        found |= {f"{layer}/weight": weight, f"{layer}/bias": (bias,)}
    return found


def test_feature_maps_of_the_published_network() -> None:
    assert design().maps == (512, 512, 512, 512, 256, 128, 64)
    assert design(resolution=4).maps == (512,)


def test_feature_maps_stop_halving_once_at_stage_8() -> None:
    # Karras et al. have 32 and 16 at the end; Han et al. reduce stages 8 and 9 by one.
    assert design(resolution=1024).maps == (512, 512, 512, 512, 256, 128, 64, 64, 32)
    tiny = design(resolution=1024, fmap_base=256, fmap_max=100, latent_size=3)
    assert tiny.maps == (100, 64, 32, 16, 8, 4, 2, 2, 1)
    shapes = shapes_of(tiny)
    assert shapes["512x512/Conv0_up/weight"] == (3, 3, 2, 2)
    assert shapes["1024x1024/Conv0_up/weight"] == (3, 3, 1, 2)
    assert shapes["ToRGB_lod0/weight"] == (1, 1, 1, 1)
    assert shapes["ToRGB_lod8/weight"] == (1, 1, 100, 1)
    assert len(shapes) == 2 * (2 + 2 * 8 + 9)


def test_feature_maps_decay_at_their_own_rate() -> None:
    assert design(fmap_decay=0.5, fmap_max=10000).maps[:3] == (5792, 4096, 2896)


def test_shapes_and_scales_of_the_published_network() -> None:
    shapes = shapes_of(design())
    assert shapes["4x4/Dense/weight"] == (526, 8192)
    assert shapes["4x4/Dense/bias"] == (512,)
    assert shapes["64x64/Conv0_up/weight"] == (3, 3, 256, 512)
    assert shapes_of(design(fused_scale=False))["64x64/Conv0/weight"] == (3, 3, 512, 256)
    scales = {
        layer: wscale(design(), layer, weight)
        for layer, (weight, _) in layer_shapes(design()).items()
    }
    assert scales["4x4/Dense"] == pytest.approx(2**0.5 / 4 / 526**0.5)
    assert scales["64x64/Conv0_up"] == pytest.approx(2**0.5 / (9 * 512) ** 0.5)
    assert scales["64x64/Conv1"] == pytest.approx(2**0.5 / (9 * 256) ** 0.5)
    assert scales["ToRGB_lod0"] == pytest.approx(1 / 8)
    assert wscale(design(use_wscale=False), "4x4/Dense", (526, 8192)) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resolution": 48}, "power of two, found 48"),
        ({"resolution": 2048}, "a whole number of at most 1024 at resolution"),
        ({"resolution": 3}, "a whole number of at least 4 at resolution"),
        ({"resolution": "256"}, "expected a whole number, got text at resolution"),
        ({"resolution": True}, "expected a whole number, got true or false at resolution"),
        ({"latent_size": 0}, "of at least 1 at latent_size"),
        ({"latent_size": 512.0}, "expected a whole number, got a number at latent_size"),
        ({"num_channels": 3}, "3 channels"),
        ({"fmap_base": 16}, "without feature maps"),
        ({"fmap_base": float("inf")}, "at fmap_base"),
        ({"fmap_base": 1 << 25}, "a whole number of at most 16777216 at fmap_base"),
        ({"fmap_decay": 16.5}, "a number of at most 16.0 at fmap_decay"),
        ({"fmap_max": 1 << 15}, "of at most 16384 at fmap_max"),
        ({"pixelnorm_epsilon": 2}, "of at most 1 at pixelnorm_epsilon"),
        ({"lod": float("nan")}, "a number of at least 0.0 at lod"),
        ({"lod": -0.5}, "a number of at least 0.0 at lod"),
        ({"lod": 1025.0}, "a number of at most 1024.0 at lod"),
        ({"fused_scale": 1}, "expected true or false, got a whole number at fused_scale"),
        ({"labels": ("a", "a")}, "differ"),
        ({"labels": ("a", 1)}, "expected text, got a whole number at labels"),
        ({"unseen": ("b",)}, "calls 'b' unseen, which is not a label"),
    ],
)
def test_an_impossible_design_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckError) as caught:
        as_record(PUBLISHED | changes, Design, "The network")
    assert said in str(caught.value)


def test_a_design_made_in_python_is_held_to_the_same_ranges() -> None:
    check_design(design())
    with pytest.raises(CheckError, match="of at most 65536 at latent_size"):
        check_design(design(latent_size=1 << 17))


def test_whole_numbers_stay_whole_so_that_the_bytes_do() -> None:
    text = as_record(PUBLISHED, Design, "The network").to_json()
    assert text == design().to_json()
    assert '"fmap_base": 8192,' in text


def test_the_header_comes_back_as_it_went() -> None:
    made = design(lod=1.5, labels=("Lung Lesion", "Fracture"))
    assert parse_header(made.to_json()) == made
    header = json.loads(made.to_json())
    assert header["generator"] == "pggan"
    assert header["version"] == 1
    assert header["maps"] == [512, 512, 512, 512, 256, 128, 64]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"generator": "phantom"}, "'phantom', not of 'pggan'"),
        ({"generator": None}, "expected text, got null at generator"),
        ({"version": 2}, "version 2; this program reads 1"),
        ({"version": None}, "expected a whole number, got null at version"),
        ({"lod": None}, "expected a number, got null at lod"),
        ({"maps": [512] * 7}, "differ from (512, 512, 512, 512, 256, 128, 64), which follow"),
        ({"maps": "all"}, "expected a list, got text at maps"),
        ({"labels": "Fracture"}, "expected a list, got text at labels"),
    ],
)
def test_a_wrong_header_is_refused(change: dict[str, object], said: str) -> None:
    header = json.loads(design().to_json()) | change
    with pytest.raises(CheckError) as caught:
        parse_header(json.dumps(header))
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [*PUBLISHED, "maps"])
def test_a_header_without_a_field_is_refused(name: str) -> None:
    header = json.loads(design().to_json())
    del header[name]
    with pytest.raises(CheckError, match=rf"it has no field {name}\."):
        parse_header(json.dumps(header))


def test_what_a_later_version_adds_to_the_header_is_not_read() -> None:
    header = json.loads(design().to_json()) | {"made_by": "another program"}
    del header["unseen"]  # imported networks do not say
    assert parse_header(json.dumps(header)) == design()


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100000])
def test_a_header_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(CheckError, match="The header is"):
        parse_header(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"8x8/Conv1/bias": None}, "'8x8/Conv1/bias' is missing"),
        ({"foreign": (3,)}, "'foreign' does not belong"),
        ({"8x8/Conv1/bias": (511,)}, r"8x8/Conv1/bias has shape [511], expected [512]"),
        ({"4x4/Dense/weight": (525, 8192)}, "takes 525 inputs, but 512 latents and 14 labels"),
        ({"4x4/Dense/weight": (526, 8191)}, "4x4/Dense/weight has shape"),
        ({"4x4/Dense/weight": ()}, "4x4/Dense/weight has shape []"),
        ({"8x8/Conv0_up/weight": (3, 3, 512, 256)}, "8x8/Conv0_up/weight has shape"),
    ],
)
def test_tensors_that_are_not_the_designs_are_refused(
    change: dict[str, Shape | None], said: str
) -> None:
    shapes = shapes_of(design()) | change
    with pytest.raises(CheckError) as caught:
        check_shapes(design(), {name: shape for name, shape in shapes.items() if shape is not None})
    assert said in str(caught.value)


def test_packing_is_reproducible() -> None:
    tensors = {
        "b": np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)),
        "a": np.ones(1, "f4"),
    }
    data = pack(design(), tensors)
    assert data == pack(design(), dict(reversed(tensors.items())))
    np.testing.assert_array_equal(unpack(data)["b"], tensors["b"])
