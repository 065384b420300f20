import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from builder.contract import CheckError, ImageSpec, UsageError
from builder.contract.networks import shapes_of
from builder.contract.weights import (
    METADATA,
    WeightsHeader,
    load_network,
    make_network,
    read_header,
    scale,
    weights_bytes,
)

HEADER = WeightsHeader(
    pathologies=("Edema", "Mass"),
    image=ImageSpec(height=32, width=32, codec="jpg", quality=95),
    manifest="0" * 64,
    epoch=3,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    path.write_bytes(weights_bytes(make_network(2), HEADER, {"lr": 0.1, "epoch": 99}))
    return path


@pytest.fixture
def rewritten(saved: Path, tmp_path: Path) -> Callable[[object], Path]:
    """The same tensors under another header."""

    def write(facts: object) -> Path:
        path = tmp_path / "other.safetensors"
        text = facts if isinstance(facts, str) else json.dumps(facts)
        path.write_bytes(save(load_file(saved), metadata={METADATA: text}))
        return path

    return write


def test_header_and_network_come_back(saved: Path) -> None:
    assert read_header(saved) == HEADER
    network, header = load_network(saved)
    assert header == HEADER
    assert not network.training
    tensors = load_file(saved)
    assert all(torch.equal(tensors[name], t) for name, t in network.state_dict().items())
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 2)


def test_grey_levels_fill_the_range_of_torchxrayvision() -> None:
    grey = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(scale(grey), (grey.float() / 255 * 2 - 1) * 1024)
    assert (scale(grey).min(), scale(grey).max()) == (-1024, 1024)


IMAGE = asdict(HEADER.image)
WRONG: dict[str, Any] = {
    "no header": {},
    "a list": [],
    "no JSON": "{",
    "no names": {"pathologies": []},
    "names are numbers": {"pathologies": [1, 2]},
    "a name that acts": {"pathologies": ["Edema", "\x1b[31m"]},
    "a name twice": {"pathologies": ["Edema", "Edema"]},
    "more names than outputs": {"pathologies": ["Edema", "Mass", "Nodule"]},
    "no image": {"image": None},
    "a small image": {"image": IMAGE | {"height": 28}},
    "a huge image": {"image": IMAGE | {"width": 5000}},
    "a fraction": {"image": IMAGE | {"width": 32.5}},
    "an epoch before the first": {"epoch": "last"},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_header_that_says_something_else_is_refused(
    rewritten: Callable[[object], Path], case: str
) -> None:
    change = WRONG[case]
    facts = asdict(HEADER) | change if isinstance(change, dict) and change else change
    path = rewritten(facts)
    with pytest.raises(CheckError, match=r"other\.safetensors") as caught:
        read_header(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_another_file_is_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.safetensors is missing"):
        read_header(tmp_path / "absent.safetensors")
    cut = tmp_path / "cut.safetensors"
    for data in (b"", b"\xff" * 64, saved.read_bytes()[:5000], save({"a": torch.zeros(1)})):
        cut.write_bytes(data)
        with pytest.raises(CheckError, match=r"cut\.safetensors is cut, damaged or not a file"):
            read_header(cut)


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    text = json.dumps(asdict(HEADER))
    path.write_bytes(save({"classifier.bias": torch.zeros(2)}, metadata={METADATA: text}))
    with pytest.raises(CheckError, match="the weights of another network"):
        load_network(path)


def test_an_image_of_the_smallest_side_passes(rewritten: Callable[[object], Path]) -> None:
    small = replace(HEADER, image=replace(HEADER.image, height=29, width=29))
    network, _ = load_network(rewritten(asdict(small)))
    assert network(torch.zeros(1, 1, 29, 29)).shape == (1, 2)


def header_of(names: tuple[str, ...], network: str) -> dict[str, str]:
    return {METADATA: json.dumps(asdict(replace(HEADER, pathologies=names, network=network)))}


SMALL = {  # weights of some KB that ask for a network of gigabytes
    "regnet_y_128gf": {"fc.weight": torch.zeros(2, 8)},
    "vit_h_14": {"heads.head.weight": torch.zeros(2, 8)},
    "densenet121": {"classifier.bias": torch.zeros(2), "classifier.weight": torch.zeros(1, 1)},
}


@pytest.mark.parametrize("network", SMALL)
def test_a_network_larger_than_its_weights_is_never_made(
    network: str, tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "best.safetensors"
    make_network(2)  # what is imported for it does not count
    path.write_bytes(save(SMALL[network], metadata=header_of(("Edema", "Mass"), network)))
    with bearable(), pytest.raises(CheckError, match="the weights of another network"):
        load_network(path)


def test_a_hundred_thousand_outputs_are_no_weights(
    tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    names = tuple(f"Name {i}" for i in range(100_000))
    tensors = {"classifier.bias": torch.zeros(100_000), "classifier.weight": torch.zeros(1, 1024)}
    path = tmp_path / "best.safetensors"
    path.write_bytes(save(tensors, metadata=header_of(names, "densenet121")))
    with bearable(), pytest.raises(CheckError, match="the weights of another network"):
        load_network(path)


def test_a_position_for_every_patch_of_a_large_image_is_never_made(
    tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    """Weights of a network for 224 pixels, whose header asks for one of 4,096."""
    image = replace(HEADER.image, height=4096, width=4096)
    header = asdict(replace(HEADER, image=image, network="vit_b_32"))
    tensors = {
        name: torch.zeros(shape)
        for name, shape in shapes_of("vit_b_32", 2, 224, 224).items()
        if "layer_0" in name or "head" in name or "embedding" in name
    }
    tensors["much"] = torch.zeros(50_000_000, dtype=torch.int8)
    path = tmp_path / "best.safetensors"
    path.write_bytes(save(tensors, metadata={METADATA: json.dumps(header)}))
    with bearable(), pytest.raises(CheckError, match="the weights of another network"):
        load_network(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(saved: Path, tmp_path: Path, value: float) -> None:
    tensors = load_file(saved)
    tensors["classifier.bias"][1] = value
    path = tmp_path / "best.safetensors"
    path.write_bytes(save(tensors, metadata={METADATA: json.dumps(asdict(HEADER))}))
    with pytest.raises(CheckError, match=r"its weights classifier\.bias hold values that are no"):
        load_network(path)
